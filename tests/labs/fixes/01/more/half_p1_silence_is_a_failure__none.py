"""Takes an empty text for a failure, though nobody spoke."""

import anyio
import aiohttp


class TranscriptionError(Exception):
    pass


class Unavailable(Exception):
    pass


async def post(session, clip):
    async with session.post("/v1/transcribe", data=clip) as response:
        if response.status in (429, 503):
            raise Unavailable(response.status)
        if response.status >= 400:
            raise TranscriptionError(f"status {response.status}")
        text = (await response.json())["text"]
        if not text:
            raise TranscriptionError("no speech")
        return text


async def transcribe(session, clip, *, attempts=4, backoff=0.2, deadline=5.0):
    with anyio.fail_after(deadline):
        n = 0
        while True:
            try:
                return await post(session, clip)
            except (Unavailable, aiohttp.ClientConnectionError) as error:
                n += 1
                if n == attempts:
                    raise TranscriptionError(str(error)) from error
            await anyio.sleep(backoff * 2 ** (n - 1))
