"""A probe that succeeds ends the rest, and leaves the count where one more failure begins another."""

import asyncio
import time


class Price:
    def __init__(self, value, stale=False):
        self.value, self.stale = value, stale

    def __repr__(self):
        return f"Price({self.value}, stale={self.stale})"


class UnavailableError(Exception):
    pass


TRANSIENT = (ConnectionError, TimeoutError)


class Resting(ConnectionError):
    pass


class Prices:
    def __init__(self, fetch, *, deadline=1.0, limit=10, failures=5, rest=30.0):
        self._fetch, self._deadline, self._failures, self._rest = fetch, deadline, failures, rest
        self._places, self._known = asyncio.Semaphore(limit), {}
        self._failed, self._until, self._probing, self._retries = 0, 0.0, False, 1.0

    async def get(self, item):
        self._retries = min(self._retries + 0.1, 10.0)
        try:
            value = await self._fresh(item)
        except TRANSIENT as error:
            if item in self._known:
                return Price(self._known[item], stale=True)
            raise UnavailableError(item) from error
        return Price(value)

    async def _fresh(self, item):
        clock = asyncio.get_running_loop().time
        until = clock() + self._deadline
        try:
            return await self._call(item, until)
        except Resting:
            raise
        except TRANSIENT:
            if self._retries < 1 or clock() >= until:
                raise
            self._retries -= 1
            return await self._call(item, until)

    async def _call(self, item, until):
        self._look()
        async with asyncio.timeout_at(until):
            await self._places.acquire()
        try:
            return await self._guarded(item, until)
        finally:
            self._places.release()

    def _look(self):
        if self._failed >= self._failures and (self._probing or time.monotonic() < self._until):
            raise Resting

    async def _guarded(self, item, until):
        self._look()
        probe = self._probing = self._failed >= self._failures
        try:
            async with asyncio.timeout_at(until):
                value = await self._fetch(item)
        except TRANSIENT:
            self._failed += 1
            self._until = time.monotonic() + self._rest
            raise
        finally:
            if probe:
                self._probing = False
        self._failed = self._failures - 1 if probe else 0
        self._known[item] = value
        return value
