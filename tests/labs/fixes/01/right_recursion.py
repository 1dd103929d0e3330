"""Recursion with an absolute deadline, handed down."""

import asyncio

import aiohttp


class TranscriptionError(Exception):
    """The service did not give a transcript."""


class Unavailable(Exception):
    """The service asks to be tried again later."""


TRANSIENT = (Unavailable, aiohttp.ClientConnectionError)


async def post(session, clip, **options):
    async with session.post("/v1/transcribe", data=clip, **options) as response:
        if response.status in (429, 503):
            raise Unavailable(response.status)
        if response.status >= 400:
            raise TranscriptionError(f"status {response.status}")
        return (await response.json())["text"]


async def transcribe(session, clip, *, attempts=4, backoff=0.2, deadline=5.0):
    ends = asyncio.get_running_loop().time() + deadline
    return await _attempt(session, clip, attempts, backoff, ends)


async def _attempt(session, clip, left, wait, ends):
    try:
        async with asyncio.timeout_at(ends):
            return await post(session, clip)
    except TRANSIENT as error:
        if left == 1:
            raise TranscriptionError("gave up") from error
    if asyncio.get_running_loop().time() + wait >= ends:
        raise TimeoutError("the next wait would not fit")
    await asyncio.sleep(wait)
    return await _attempt(session, clip, left - 1, wait * 2, ends)
