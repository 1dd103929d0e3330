"""Lab 10, solved with aiobreaker: it counts and rests; one probe at a time is ours to see to."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple

from aiobreaker import CircuitBreaker, CircuitBreakerError, CircuitBreakerState

TRANSIENT = (ConnectionError, TimeoutError)


class Price(NamedTuple):
    value: float
    stale: bool = False


class UnavailableError(Exception):
    pass


class Prices:
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
        self._breaker = CircuitBreaker(
            fail_max=failures,
            timeout_duration=timedelta(seconds=rest),
            exclude=[lambda error: not isinstance(error, TRANSIENT)],
        )
        self._probe = asyncio.Lock()
        self._places = asyncio.Semaphore(limit)
        self._known: dict[str, float] = {}
        self._gets = self._retries = 0

    async def get(self, item: str) -> Price:
        self._gets += 1
        until = asyncio.get_running_loop().time() + self._deadline
        try:
            try:
                return Price(await self._call(item, until))
            except ConnectionError:
                if self._retries > self._gets // 10:
                    raise
                self._retries += 1
                return Price(await self._call(item, until))
        except (*TRANSIENT, CircuitBreakerError) as error:
            if item not in self._known:
                raise UnavailableError(item) from error
            return Price(self._known[item], stale=True)

    async def _call(self, item: str, until: float) -> float:
        if self._breaker.current_state is CircuitBreakerState.CLOSED:
            async with asyncio.timeout_at(until):
                await self._places.acquire()
            try:
                if self._breaker.current_state is CircuitBreakerState.CLOSED:
                    return await self._breaker.call_async(self._asked, item, until)
            finally:
                self._places.release()
        if self._probe.locked():
            raise ConnectionError("somebody else finds out")
        async with self._probe:
            return await self._breaker.call_async(self._asked, item, until)

    async def _asked(self, item: str, until: float) -> float:
        async with asyncio.timeout_at(until):
            value = self._known[item] = await self._fetch(item)
        return value
