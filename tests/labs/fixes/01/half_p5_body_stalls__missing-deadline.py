"""The deadline covers the headers of the answer, not its body."""

import asyncio

import aiohttp


class TranscriptionError(Exception):
    """The service did not give a transcript."""


class Unavailable(Exception):
    """The service asks to be tried again later."""


TRANSIENT = (Unavailable, aiohttp.ClientConnectionError)


async def begin(session, clip):
    response = await session.post("/v1/transcribe", data=clip)
    if response.status in (429, 503):
        response.release()
        raise Unavailable(response.status)
    if response.status >= 400:
        response.release()
        raise TranscriptionError(f"status {response.status}")
    return response


async def transcribe(session, clip, *, attempts=4, backoff=0.2, deadline=5.0):
    async with asyncio.timeout(deadline):
        response = await begun(session, clip, attempts, backoff)
    async with response:
        return (await response.json())["text"]


async def begun(session, clip, attempts, backoff):
    for attempt in range(attempts):
        if attempt:
            await asyncio.sleep(backoff * 2 ** (attempt - 1))
        try:
            return await begin(session, clip)
        except TRANSIENT as error:
            last = error
    raise TranscriptionError("gave up") from last
