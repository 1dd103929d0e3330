"""Lab 10, half-fixed: the call goes on without its caller."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import NamedTuple

TRANSIENT = (ConnectionError, TimeoutError)


class Price(NamedTuple):
    """A price; `stale` if it is the last one known and not the one of now."""

    value: float
    stale: bool = False


class UnavailableError(Exception):
    """There is no price, not even an old one."""


class RestingError(ConnectionError):
    """The service is left alone."""


class Prices:
    """Prices by `await fetch(item)`, from a service that may be slow or down. Times in seconds."""

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[float]],
        *,
        deadline: float = 1.0,
        limit: int = 10,
        failures: int = 5,
        rest: float = 30.0,
    ) -> None:
        self._fetch, self._deadline = fetch, deadline
        self._failures, self._rest = failures, rest
        self._places = asyncio.Semaphore(limit)
        self._known: dict[str, float] = {}
        self._failed = 0
        self._rests_until = 0.0
        self._probing = False
        self._retries = 1.0

    async def get(self, item: str) -> Price:
        """Return the price of an item, the last one known if there is none now."""
        self._retries = min(self._retries + 0.1, 10.0)
        try:
            return Price(await self._fresh(item))
        except TRANSIENT as error:
            if item in self._known:
                return Price(self._known[item], stale=True)
            raise UnavailableError(item) from error

    async def _fresh(self, item: str) -> float:
        time = asyncio.get_running_loop().time
        until = time() + self._deadline
        try:
            return await self._call(item, until)
        except RestingError:
            raise
        except TRANSIENT:
            if self._retries < 1 or time() >= until:
                raise
            self._retries -= 1
            return await self._call(item, until)

    async def _call(self, item: str, until: float) -> float:
        self._look()  # before the wait: who would be refused need not stand in line
        async with asyncio.timeout_at(until):
            await self._places.acquire()
        try:
            return await self._guarded(item, until)
        finally:
            self._places.release()

    def _look(self) -> None:
        if self._failed >= self._failures and (self._probing or monotonic() < self._rests_until):
            raise RestingError

    async def _guarded(self, item: str, until: float) -> float:
        self._look()
        probe = self._probing = self._failed >= self._failures
        try:
            async with asyncio.timeout_at(until):
                value = await asyncio.shield(self._fetch(item))
        except TRANSIENT:
            self._failed += 1
            self._rests_until = monotonic() + self._rest
            raise
        finally:
            if probe:
                self._probing = False
        self._failed = 0
        self._known[item] = value
        return value
