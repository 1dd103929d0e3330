"""Lab 01, solved: one caller's wait is its own.

Three changes. The wait is awaited, so the loop serves others meanwhile. It is jittered, so that
callers who failed together do not come back together. And one deadline holds for the whole call,
waits included: `asyncio.timeout` cancels whatever the call is waiting for, which works because
nothing here catches CancelledError.
"""

import asyncio
import random

import aiohttp


class TranscriptionError(Exception):
    """The service did not give a transcript."""


class UnavailableError(Exception):
    """The service asks to be tried again later."""


# No TimeoutError here: the deadline is the whole call's and must not start another attempt.
TRANSIENT = (UnavailableError, aiohttp.ClientConnectionError)


async def transcribe(
    session: aiohttp.ClientSession,
    clip: bytes,
    *,
    attempts: int = 4,
    backoff: float = 0.2,
    deadline: float = 5.0,
) -> str:
    """Return the text spoken in `clip`; `backoff` and `deadline` are in seconds.

    Raises:
        TranscriptionError: the service refused the clip, or failed `attempts` times.
        TimeoutError: `deadline` passed, attempts and waits included.
    """
    async with asyncio.timeout(deadline):
        for attempt in range(attempts):
            try:
                return await post(session, clip)
            except TRANSIENT as error:
                if attempt + 1 == attempts:
                    raise TranscriptionError(f"gave up after {attempts} attempts") from error
            # Outside the except: a cancelled wait need not carry the upstream's error around.
            await asyncio.sleep(jittered(backoff * 2**attempt))
    raise ValueError("attempts must be at least 1")


def jittered(longest: float) -> float:
    """Return a random wait of half of `longest` to all of it."""
    return random.uniform(longest / 2, longest)  # noqa: S311 - spreads load, hides nothing


async def post(session: aiohttp.ClientSession, clip: bytes) -> str:
    """Send the clip once and return its text."""
    async with session.post("/v1/transcribe", data=clip) as response:
        if response.status in (429, 503):
            raise UnavailableError(f"status {response.status}")
        if response.status >= 400:
            raise TranscriptionError(f"status {response.status}")
        answer = await response.json()
        return str(answer["text"])
