"""Lab 10, solved with stamina for the retry: whether there is one is decided by its `on`."""

import asyncio
import time

import stamina


class Price:
    def __init__(self, value, stale=False):
        self.value, self.stale = value, stale

    def __repr__(self):
        return f"Price({self.value}, stale={self.stale})"


class UnavailableError(LookupError):
    pass


class RefusedError(Exception):
    pass


class Breaker:
    """Closed, open, or half open with one call under way."""

    def __init__(self, failures, rest):
        self.failures, self.rest = failures, rest
        self.failed, self.opened, self.half = 0, None, False

    def admit(self):
        if self.opened is None:
            return
        if self.half or time.monotonic() - self.opened < self.rest:
            raise RefusedError
        self.half = True

    def note(self, error, probe):
        if probe:
            self.half = False
        if error is None:
            self.failed, self.opened = 0, None
        elif isinstance(error, (ConnectionError, TimeoutError)):
            self.failed += 1
            if probe or self.failed >= self.failures:
                self.opened = time.monotonic()


class Prices:
    def __init__(self, fetch, *, deadline=1.0, limit=10, failures=5, rest=30.0):
        self.fetch, self.deadline, self.limit = fetch, deadline, limit
        self.breaker = Breaker(failures, rest)
        self.free = asyncio.Semaphore(limit)
        self.memory = {}
        self.earned = 1.0

    async def get(self, item):
        self.earned = min(5.0, self.earned + 0.1)
        until = asyncio.get_running_loop().time() + self.deadline
        retrying = stamina.AsyncRetryingCaller(
            attempts=2, timeout=None, wait_initial=0.01, wait_max=0.05, wait_jitter=0.01
        )
        try:
            value = await retrying(self.again, self.once, item, until)
        except (ConnectionError, TimeoutError, RefusedError):
            if item in self.memory:
                return Price(self.memory[item], True)
            raise UnavailableError(item) from None
        self.memory[item] = value
        return Price(value)

    def again(self, error):
        if not isinstance(error, ConnectionError) or self.earned < 1:
            return False
        self.earned -= 1
        return True

    async def once(self, item, until):
        if self.breaker.opened is not None:
            return await self.call(item, until)
        async with asyncio.timeout_at(until):
            await self.free.acquire()
        try:
            return await self.call(item, until)
        finally:
            self.free.release()

    async def call(self, item, until):
        self.breaker.admit()
        probe, ended = self.breaker.half, asyncio.CancelledError()
        try:
            async with asyncio.timeout_at(until):
                value = await self.fetch(item)
            ended = None
            return value
        except Exception as error:
            ended = error
            raise
        finally:
            self.breaker.note(ended, probe)
