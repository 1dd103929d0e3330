"""A state for each of closed, open and half open, as methods that replace each other."""

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


class Refused(Exception):
    pass


class Prices:
    def __init__(self, fetch, *, deadline=1.0, limit=10, failures=5, rest=30.0):
        self.fetch, self.deadline, self.failures, self.rest = fetch, deadline, failures, rest
        self.sem, self.last, self.row, self.tokens = asyncio.Semaphore(limit), {}, 0, 2.0
        self.admit, self.until = self.closed, 0.0

    def closed(self):
        return False

    def open(self):
        if time.monotonic() < self.until:
            raise Refused
        return True

    def half(self):
        raise Refused

    def failed(self, probe):
        self.row += 1
        if probe or self.row >= self.failures:
            self.until, self.admit = time.monotonic() + self.rest, self.open

    async def get(self, item):
        self.tokens = min(8.0, self.tokens + 0.1)
        try:
            async with asyncio.timeout(self.deadline) as scope:
                value = await self.attempts(item, scope)
        except (*TRANSIENT, Refused) as error:
            if item in self.last:
                return Price(self.last[item], stale=True)
            raise UnavailableError from error
        self.last[item] = value
        return Price(value)

    async def attempts(self, item, scope):
        try:
            return await self.attempt(item, scope)
        except TRANSIENT:
            if self.tokens < 1 or self.admit != self.closed:
                raise
            self.tokens -= 1
        return await self.attempt(item, scope)

    async def attempt(self, item, scope):
        if self.admit != self.closed:
            self.admit()  # refuses, or would let one try
        async with self.sem:
            probe = self.admit()
            if probe:
                self.admit = self.half
            try:
                value = await self.fetch(item)
            except TRANSIENT:
                self.failed(probe)
                raise
            except asyncio.CancelledError:
                if scope.expired():
                    self.failed(probe)
                elif probe:
                    self.admit = self.open
                raise
            except BaseException:
                if probe:
                    self.admit = self.open
                raise
            self.row, self.admit = 0, self.closed
            return value
