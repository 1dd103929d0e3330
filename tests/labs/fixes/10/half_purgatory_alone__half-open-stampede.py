"""Lab 10, half-fixed: purgatory as it comes. It counts callers that leave, and half open it lets everybody through."""

import asyncio
from typing import NamedTuple

from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState


class Price(NamedTuple):
    value: float
    stale: bool = False


class UnavailableError(Exception):
    pass


class Prices:
    def __init__(self, fetch, *, deadline=1.0, limit=10, failures=5, rest=30.0):
        self._fetch, self._deadline = fetch, deadline
        self._breakers = AsyncCircuitBreakerFactory(default_threshold=failures, default_ttl=rest)
        self._places = asyncio.Semaphore(limit)
        self._known = {}

    async def get(self, item):
        try:
            async with asyncio.timeout(self._deadline), self._places:
                async with await self._breakers.get_breaker("prices"):
                    value = await self._fetch(item)
        except (ConnectionError, TimeoutError, OpenedState) as error:
            if item not in self._known:
                raise UnavailableError(item) from error
            return Price(self._known[item], stale=True)
        self._known[item] = value
        return Price(value)
