"""Sleeps in the default executor."""

import asyncio
import time

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
    async with asyncio.timeout(deadline):
        for attempt in range(attempts):
            try:
                return await post(session, clip)
            except TRANSIENT as error:
                if attempt + 1 == attempts:
                    raise TranscriptionError("gave up") from error
            await asyncio.to_thread(time.sleep, backoff * 2**attempt)
