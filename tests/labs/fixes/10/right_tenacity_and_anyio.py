"""tenacity for the retry, anyio for places and deadlines, a breaker as an async context manager."""

import time

import anyio
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt


class Price:
    def __init__(self, value, stale=False):
        self.value, self.stale = value, stale

    def __repr__(self):
        return f"Price({self.value}, stale={self.stale})"


class UnavailableError(Exception):
    pass


class LeftAloneError(ConnectionError):
    pass


class Guard:
    def __init__(self, failures, rest):
        self.failures, self.rest = failures, rest
        self.row, self.since, self.trying = 0, 0.0, None

    def look(self):
        if self.row >= self.failures:
            if self.trying is not None or time.monotonic() < self.since + self.rest:
                raise LeftAloneError

    async def __aenter__(self):
        self.look()
        if self.row >= self.failures:
            self.trying = anyio.get_current_task().id

    async def __aexit__(self, kind, error, trace):
        if self.trying == anyio.get_current_task().id:
            self.trying = None
        if isinstance(error, (ConnectionError, TimeoutError)):
            self.row, self.since = self.row + 1, time.monotonic()
        elif error is None:
            self.row = 0


class Prices:
    def __init__(self, fetch, *, deadline=1.0, limit=10, failures=5, rest=30.0):
        self.fetch, self.deadline = fetch, deadline
        self.places, self.guard = anyio.CapacityLimiter(limit), Guard(failures, rest)
        self.known, self.credit = {}, 10

    def _again(self, error):
        wanted = isinstance(error, (ConnectionError, TimeoutError)) and not isinstance(
            error, LeftAloneError
        )
        if not wanted or self.credit < 10:
            return False
        self.credit -= 10
        return True

    async def get(self, item):
        self.credit = min(self.credit + 1, 30)
        ends = anyio.current_time() + self.deadline
        attempts = AsyncRetrying(
            stop=stop_after_attempt(2), retry=retry_if_exception(self._again), reraise=True
        )
        try:
            value = await attempts(self._ask, item, ends)
        except (ConnectionError, TimeoutError):
            if item in self.known:
                return Price(self.known[item], True)
            raise UnavailableError(item) from None
        self.known[item] = value
        return Price(value)

    async def _ask(self, item, ends):
        self.guard.look()
        with anyio.fail_after(ends - anyio.current_time()):
            await self.places.acquire_on_behalf_of(me := object())
        try:
            async with self.guard:
                with anyio.fail_after(ends - anyio.current_time()):
                    return await self.fetch(item)
        finally:
            self.places.release_on_behalf_of(me)
