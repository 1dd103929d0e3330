"""The breaker keeps a list of the last outcomes; calls go through a queue of places."""

import asyncio
from collections import deque
from dataclasses import dataclass


@dataclass
class Price:
    value: float
    stale: bool = False


class UnavailableError(LookupError):
    pass


class Resting(Exception):
    pass


class Prices:
    def __init__(self, fetch, *, deadline=1.0, limit=10, failures=5, rest=30.0):
        self._fetch, self._deadline, self._rest = fetch, deadline, rest
        self._places = asyncio.Queue()
        for number in range(limit):
            self._places.put_nowait(number)
        self._outcomes, self._opened, self._probe = deque(maxlen=failures), None, None
        self._seen, self._calls, self._retries = {}, 0, 0

    async def get(self, item):
        self._calls += 1
        loop = asyncio.get_running_loop()
        end = loop.time() + self._deadline
        for attempt in (0, 1):
            try:
                value = await self._one(item, end)
            except (ConnectionError, TimeoutError):
                if attempt or loop.time() >= end or self._retries > self._calls / 10:
                    break
                self._retries += 1
            except Resting:
                break
            else:
                self._seen[item] = value
                return Price(value)
        if item in self._seen:
            return Price(self._seen[item], stale=True)
        raise UnavailableError(item)

    def _may(self):
        now = asyncio.get_running_loop().time()
        if self._opened is not None and (self._probe or now < self._opened + self._rest):
            raise Resting

    async def _one(self, item, end):
        self._may()
        async with asyncio.timeout_at(end):
            place = await self._places.get()
        try:
            self._may()
            probe = self._probe = (self._opened is not None and object()) or None
            try:
                async with asyncio.timeout_at(end):
                    value = await self._fetch(item)
            except (ConnectionError, TimeoutError):
                self._outcomes.append(False)
                if len(self._outcomes) == self._outcomes.maxlen and not any(self._outcomes):
                    self._opened = asyncio.get_running_loop().time()
                raise
            finally:
                if probe is not None and self._probe is probe:
                    self._probe = None
            self._outcomes.append(True)
            self._opened = None
            return value
        finally:
            self._places.put_nowait(place)
