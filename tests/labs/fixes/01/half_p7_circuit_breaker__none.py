"""A circuit breaker that all callers share: after ten that failed, the next ones are refused."""

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


class Breaker:
    """Opens when ten calls in a row have used up their attempts, for a second."""

    def __init__(self):
        self.failures, self.opened = 0, -1.0

    @property
    def seconds(self):
        """Until it closes."""
        return self.opened + 1.0 - time.monotonic()

    def failed(self):
        self.failures += 1
        if self.failures >= 10:
            self.opened = time.monotonic()


breaker = Breaker()


async def transcribe(session, clip, *, attempts=4, backoff=0.2, deadline=5.0):
    async with asyncio.timeout(deadline):
        if breaker.seconds > 0:
            raise TranscriptionError("the service is down")
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(backoff * 2 ** (attempt - 1))
            try:
                text = await post(session, clip)
            except TRANSIENT as error:
                last = error
            else:
                breaker.failures = 0
                return text
    breaker.failed()
    raise TranscriptionError("gave up") from last
