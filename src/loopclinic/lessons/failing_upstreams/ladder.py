"""Ways of lesson 10 to call a failing service ("rungs"), with a circuit breaker for awaited calls and a token bucket.

Each is `rung(fetch)`, which returns `await get(item)`. That raises ConnectionError or TimeoutError where
there is no price: the fallback, marked as one, is the page's business. Times in seconds.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import NamedTuple

Get = Callable[[str], Awaitable[float]]

DEADLINE, LIMIT, FAILURES, REST = 1.0, 20, 5, 5.0
TRANSIENT = (ConnectionError, TimeoutError)


class Breaker:
    """Refuses for `rest` seconds after so many failures in a row: `async with breaker:` around an awaited call."""

    def __init__(
        self, failures: int = FAILURES, rest: float = REST, *, one_probe: bool = True
    ) -> None:
        self._failures, self._rest, self._one_probe = failures, rest, one_probe
        self._failed, self._until, self._probing = 0, 0.0, False

    async def __aenter__(self) -> None:
        open_ = self._failed >= self._failures
        if open_ and (self._probing or time.monotonic() < self._until):
            raise ConnectionRefusedError("the service is left alone")
        self._probing = open_ and self._one_probe

    async def __aexit__(self, _: object, error: BaseException | None, trace: object) -> None:
        self._probing = False
        if isinstance(error, TRANSIENT):
            self._failed += 1
            self._until = time.monotonic() + self._rest
        elif error is None:
            self._failed = 0


def retried(fetch: Get) -> Get:
    """Try three times, each with a timeout: as reviewed."""

    async def get(item: str) -> float:
        for _ in range(2):
            with suppress(*TRANSIENT):
                async with asyncio.timeout(DEADLINE):
                    return await fetch(item)
        async with asyncio.timeout(DEADLINE):
            return await fetch(item)

    return get


def limited(fetch: Get) -> Get:
    """Ask once, with one deadline, and so many at once: rung 1."""
    places = asyncio.Semaphore(LIMIT)

    async def get(item: str) -> float:
        async with asyncio.timeout(DEADLINE), places:
            return await fetch(item)

    return get


def crowding(fetch: Get) -> Get:
    """Leave the service alone after failures; after the rest, everybody tries: rung 2."""
    return _within(Breaker(one_probe=False), limited(fetch))


def guarded(fetch: Get) -> Get:
    """Let one caller try after a rest: rung 3."""
    return _within(Breaker(), limited(fetch))


class Bucket:
    """Lets one call pass each `1 / rate` seconds; for what was not used, up to `burst` at once."""

    def __init__(self, rate: float, burst: int) -> None:
        self._every, self._kept = 1 / rate, (burst - 1) / rate
        self._due = 0.0

    async def __aenter__(self) -> None:
        now = time.monotonic()
        self._due = max(self._due, now - self._kept)
        wait, self._due = self._due - now, self._due + self._every
        await asyncio.sleep(max(0.0, wait))

    async def __aexit__(self, *_: object) -> None: ...


def places(fetch: Get) -> Get:
    """Let so many calls be under way at once, however many a second that is."""
    return _within(asyncio.Semaphore(LIMIT), fetch)


def burst(fetch: Get) -> Get:
    """Let a second's quota pass, and what was not used before: as most buckets are set."""
    return _within(Bucket(50, burst=50), fetch)


def paced(fetch: Get) -> Get:
    """Let one call pass each fiftieth of a second, and keep nothing."""
    return _within(Bucket(50, burst=1), fetch)


class Price(NamedTuple):
    """A price; `stale` if it is the last one known."""

    value: float
    stale: bool = False


async def marked(fetch: Callable[[], Awaitable[float]], last: float) -> Price:
    """Fall back for what the service did, and say so."""
    try:
        return Price(await fetch())
    except TRANSIENT:
        return Price(last, stale=True)


def _within(limit: AbstractAsyncContextManager[None], fetch: Get) -> Get:
    async def get(item: str) -> float:
        async with limit:
            return await fetch(item)

    return get
