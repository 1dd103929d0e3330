"""A retry class, iterated asynchronously; statuses by raise_for_status."""

import asyncio
import random
from dataclasses import dataclass

import aiohttp


class TranscriptionError(Exception):
    """The service did not give a transcript."""


@dataclass
class Backoff:
    attempts: int
    first: float

    async def __aiter__(self):
        for number in range(self.attempts):
            yield number
            if number + 1 < self.attempts:
                await asyncio.sleep(self.first * 2**number * random.triangular(0.4, 1.0))


async def transcribe(session, clip, *, attempts=4, backoff=0.2, deadline=5.0):
    async with asyncio.timeout(deadline):
        async for _ in Backoff(attempts, backoff):
            try:
                async with session.post(
                    "/v1/transcribe", data=clip, raise_for_status=True
                ) as response:
                    answer = await response.json()
                    return answer["text"]
            except aiohttp.ClientResponseError as error:
                if error.status not in (429, 503):
                    raise TranscriptionError(str(error)) from error
            except aiohttp.ClientConnectionError:
                pass
        raise TranscriptionError("gave up")
