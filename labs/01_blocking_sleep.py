"""Lab 01: one retry, everybody waits.

`transcribe` sends a sound clip to a speech-to-text service and returns the text. The service is
overloaded now and then, so it tries again. Many callers share one event loop and one session,
and whenever one of them has to try again, all the others stand still. Mend that.

What must be true of `transcribe` when you are done:

1. It returns the "text" of the service's answer.
2. A 429, a 503 or a broken connection (aiohttp.ClientConnectionError) is tried again, `attempts`
   requests at most. Then it raises TranscriptionError, without another wait.
3. Any other status raises TranscriptionError at once.
4. Wait number n (0, 1, 2, ...) lasts `backoff * 2**n` seconds at most. Waits grow. Jitter is
   welcome, as long as waits make up a quarter of that on average.
5. `deadline` seconds after the call began, all attempts and waits included, it has raised
   TimeoutError, whatever it was waiting for. Earlier is fine if the next wait would not fit.
6. Cancelled, it ends at once by CancelledError and sends nothing more.
7. However many callers wait to try again, nobody waits for them: not the loop, not a thread.
8. It leaves nothing behind: no task, no thread, no session.

These names and signatures stay: `transcribe`, `TranscriptionError`. The rest is yours to change.

How it is judged: `loopclinic check 01`, or `loopclinic watch 01` for a verdict on every save.
The check asks the service what it received. While callers wait, the loop may be busy 40 % of the
time at most; among 130 callers, lag may be half of this file's, 3 new threads are allowed, and a
caller may take 3 times its own waits. A deadline may be missed by its own length, and a cancelled
call gets 500 ms. On average waits may be 1.5 times as long as promised, because timers are late, and
must grow by a quarter of what doubling gives; in a fifth of the first wait a caller sends 2.5
requests at most. A call that has nothing to wait for gets 500 ms more than its requests take.
"""

import time
from collections.abc import Awaitable, Callable

import aiohttp


class TranscriptionError(Exception):
    """The service did not give a transcript."""


class Unavailable(Exception):
    """The service asks to be tried again later."""


TRANSIENT = (Unavailable, aiohttp.ClientConnectionError, TimeoutError)


async def transcribe(
    session: aiohttp.ClientSession,
    clip: bytes,
    *,
    attempts: int = 4,
    backoff: float = 0.2,
    deadline: float = 5.0,
) -> str:
    """Return the text spoken in `clip`; `backoff` and `deadline` are in seconds."""
    timeout = aiohttp.ClientTimeout(total=deadline)
    return await retried(lambda: post(session, clip, timeout), attempts, backoff)


async def retried(call: Callable[[], Awaitable[str]], attempts: int, backoff: float) -> str:
    """Await `call()` until it succeeds, at most `attempts` times."""
    for attempt in range(attempts):
        try:
            return await call()
        except TRANSIENT as error:
            if attempt + 1 == attempts:
                raise TranscriptionError(f"gave up after {attempts} attempts") from error
            wait_before_retry(attempt, backoff)
    raise ValueError("attempts must be at least 1")


def wait_before_retry(attempt: int, backoff: float) -> None:
    """Give the service time to recover: twice as long each time."""
    time.sleep(backoff * 2**attempt)


async def post(session: aiohttp.ClientSession, clip: bytes, timeout: aiohttp.ClientTimeout) -> str:
    """Send the clip once and return its text."""
    async with session.post("/v1/transcribe", data=clip, timeout=timeout) as response:
        if response.status in (429, 503):
            raise Unavailable(f"status {response.status}")
        if response.status >= 400:
            raise TranscriptionError(f"status {response.status}")
        return str((await response.json())["text"])
