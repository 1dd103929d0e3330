"""A decorator that retries any coroutine function."""

import asyncio
import functools
import random

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


def retrying(function):
    @functools.wraps(function)
    async def wrapper(session, clip, *, attempts=4, backoff=0.2, deadline=5.0):
        async with asyncio.timeout(deadline):
            for attempt in range(attempts):
                try:
                    return await function(session, clip)
                except TRANSIENT as error:
                    if attempt == attempts - 1:
                        raise TranscriptionError("gave up") from error
                    await asyncio.sleep(backoff * 2**attempt * random.uniform(0.6, 1))

    return wrapper


@retrying
async def transcribe(session, clip):
    return await post(session, clip)
