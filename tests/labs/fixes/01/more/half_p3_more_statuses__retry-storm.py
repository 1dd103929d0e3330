"""Tries again after 408 and 425 as well."""

import asyncio
import random
from dataclasses import dataclass

import aiohttp


class TranscriptionError(Exception):
    pass


class Unavailable(Exception):
    pass


@dataclass(frozen=True)
class Policy:
    attempts: int
    backoff: float
    retryable: tuple = (Unavailable, aiohttp.ClientConnectionError)

    def waits(self):
        for n in range(self.attempts - 1):
            yield self.backoff * 2**n * random.random()
        yield None

    async def run(self, call):
        for wait in self.waits():
            try:
                return await call()
            except self.retryable as error:
                if wait is None:
                    raise TranscriptionError("gave up") from error
            await asyncio.sleep(wait)


async def transcribe(session, clip, *, attempts=4, backoff=0.2, deadline=5.0):
    loop = asyncio.get_running_loop()
    async with asyncio.timeout_at(loop.time() + deadline):
        return await Policy(attempts, backoff).run(lambda: post(session, clip))


async def post(session, clip):
    async with session.post("/v1/transcribe", data=clip) as response:
        if response.status in (408, 425, 429, 503):
            raise Unavailable(response.status)
        if response.status >= 400:
            raise TranscriptionError(f"status {response.status}")
        return (await response.json())["text"]
