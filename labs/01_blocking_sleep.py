"""Lab 01: one retry, everybody waits.

`transcribe` sends a sound clip to a speech-to-text service and returns the text. The service is
sometimes overloaded, so `transcribe` retries. Many callers share one event loop and one session,
and whenever one of them has to retry, all the others freeze. Fix that.

What `transcribe` must do when you are done:

1. It returns the `text` field of the service's JSON answer.
2. It retries after a 429, a 503 or a broken connection (aiohttp.ClientConnectionError), with at most
   `attempts` requests in all. Then it raises TranscriptionError without another wait.
3. Any other status raises TranscriptionError at once.
4. The n-th wait (from 0) is at most `backoff * 2**n` seconds. Waits grow. Jitter is welcome, but
   the average wait is at least a quarter of that.
5. If it is not done `deadline` seconds after it was called, all attempts and waits included, it
   raises TimeoutError, whatever it is waiting for. Earlier is fine if the next wait would not fit.
6. When cancelled, it ends at once with CancelledError and sends nothing more.
7. However many callers fail or wait to retry, no other caller is refused or has to wait for the
   loop or for a thread because of them.
8. It leaves nothing behind: no task, no thread, no session.

Keep these names and signatures: `transcribe`, `TranscriptionError`. The rest is yours to change.

How it is judged: `loopclinic check 01`, or `loopclinic watch 01` for a verdict on every save.
The check asks the service what it received. While callers wait, the loop may be busy at most 40 %
of the time. With 130 callers, lag may be half that of the file as shipped, 3 new threads are allowed,
and a caller may take 3 times its own waits. A call may take twice its deadline, a cancelled one 500 ms.
Average waits may be 1.5 times as long as promised, because timers are late. From the first to the last
they must grow by a quarter of what doubling gives, and within a fifth of the first wait a caller may
send 2.5 requests on average. A call with nothing to wait for gets 500 ms more than its requests take.
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
