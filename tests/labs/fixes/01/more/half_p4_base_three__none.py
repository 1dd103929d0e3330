"""Waits three times as long each time."""

import asyncio

import aiohttp


class TranscriptionError(Exception):
    pass


class Unavailable(Exception):
    pass


async def transcribe(session, clip, *, attempts=4, backoff=0.2, deadline=5.0):
    work = asyncio.create_task(retry(session, clip, attempts, backoff))
    try:
        done, _ = await asyncio.wait({work}, timeout=deadline)
    finally:
        if not work.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
    if not done:
        raise TimeoutError(f"not done in {deadline} s")
    return work.result()


async def retry(session, clip, attempts, backoff, n=0):
    try:
        return await post(session, clip)
    except (Unavailable, aiohttp.ClientConnectionError) as error:
        if n + 1 >= attempts:
            raise TranscriptionError("gave up") from error
    await asyncio.sleep(backoff * 3**n)
    return await retry(session, clip, attempts, backoff, n + 1)


async def post(session, clip):
    async with session.post("/v1/transcribe", data=clip) as response:
        if response.status in (429, 503):
            raise Unavailable(response.status)
        if response.status >= 400:
            raise TranscriptionError(f"status {response.status}")
        return (await response.json())["text"]
