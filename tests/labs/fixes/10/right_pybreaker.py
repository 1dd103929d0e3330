"""Lab 10, solved with pybreaker: it is told outcomes, after the call was awaited."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pybreaker


@dataclass(frozen=True)
class Price:
    value: float
    stale: bool = False


class UnavailableError(Exception):
    pass


class Sick(Exception):
    """The service failed, or is left alone."""


def outcome(error):
    if error is not None:
        raise error


class Prices:
    def __init__(self, fetch, *, deadline=1.0, limit=10, failures=5, rest=30.0):
        self.fetch, self.deadline, self.rest = fetch, deadline, timedelta(seconds=rest)
        self.breaker = pybreaker.CircuitBreaker(fail_max=failures, reset_timeout=rest)
        self.tokens = asyncio.Queue()
        for _ in range(limit):
            self.tokens.put_nowait(None)
        self.trying = None
        self.last = {}
        self.asked = self.retries = 0

    async def get(self, item):
        self.asked += 1
        until = asyncio.get_running_loop().time() + self.deadline
        try:
            value = await self.attempt(item, until)
        except Sick as error:
            value = None
            more = self.asked // 10 + 1 - self.retries
            if more > 0 and isinstance(error.__cause__, ConnectionError):
                self.retries += 1
                try:
                    value = await self.attempt(item, until)
                except Sick:
                    pass
        if value is not None:
            self.last[item] = value
            return Price(value)
        if item in self.last:
            return Price(self.last[item], stale=True)
        raise UnavailableError(item)

    def refuse(self):
        opened = self.breaker._state_storage.opened_at
        resting = self.breaker.current_state == pybreaker.STATE_OPEN
        if resting and (datetime.now(UTC) < opened + self.rest or self.trying):
            raise Sick
        return resting

    async def attempt(self, item, until):
        self.refuse()
        try:
            async with asyncio.timeout_at(until):
                token = await self.tokens.get()
        except TimeoutError:
            raise Sick from None
        try:
            if self.refuse():
                self.trying = asyncio.current_task()
            try:
                async with asyncio.timeout_at(until):
                    value = await self.fetch(item)
            except (ConnectionError, TimeoutError) as error:
                self.tell(error)
                raise Sick from error
            self.tell(None)
            return value
        finally:
            self.tokens.put_nowait(token)
            if self.trying is asyncio.current_task():
                self.trying = None

    def tell(self, error):
        try:
            self.breaker.call(outcome, error)
        except (pybreaker.CircuitBreakerError, ConnectionError, TimeoutError):
            pass
