"""Lab 10, solved with anyio; who comes while one caller tries waits for what comes of it."""

import time
from collections import deque
from dataclasses import dataclass

import anyio

SERVICE = (ConnectionError, TimeoutError)


@dataclass
class Price:
    value: float
    stale: bool = False


class UnavailableError(Exception):
    pass


class Prices:
    def __init__(self, fetch, *, deadline=1.0, limit=10, failures=5, rest=30.0):
        self.fetch, self.deadline, self.failures, self.rest = fetch, deadline, failures, rest
        self.limiter = anyio.CapacityLimiter(limit)
        self.last = {}
        self.outcomes = deque(maxlen=failures)
        self.opened = None
        self.trial = None
        self.calls = deque()
        self.again = deque()

    async def get(self, item):
        now = time.monotonic()
        self.calls.append(now)
        while self.calls and self.calls[0] < now - 60:
            self.calls.popleft()
        while self.again and self.again[0] < now - 60:
            self.again.popleft()
        try:
            with anyio.fail_after(self.deadline):
                value = await self.first_or_second(item)
        except SERVICE:
            if item in self.last:
                return Price(self.last[item], stale=True)
            raise UnavailableError(f"no price of {item}") from None
        self.last[item] = value
        return Price(value)

    async def first_or_second(self, item):
        try:
            return await self.in_turn(item)
        except ConnectionError:
            if len(self.again) > 0.1 * len(self.calls):
                raise
            self.again.append(time.monotonic())
            await anyio.sleep(0.01)
            return await self.in_turn(item)

    async def in_turn(self, item):
        if self.opened is None:
            async with self.limiter:
                if self.opened is None:
                    return await self.asked(item)
        if self.trial is not None:
            await self.trial.wait()
            if self.opened is None:
                return await self.in_turn(item)
        if time.monotonic() < self.opened + self.rest:
            raise ConnectionRefusedError("the service has a rest")
        if self.trial is not None:
            return await self.in_turn(item)
        self.trial = trial = anyio.Event()
        try:
            return await self.asked(item)
        finally:
            self.trial = None
            trial.set()

    async def asked(self, item):
        began = time.monotonic()
        try:
            value = await self.fetch(item)
        except ConnectionError:
            self.note(False)
            raise
        except anyio.get_cancelled_exc_class():
            if time.monotonic() - began > 0 and anyio.current_effective_deadline() <= anyio.current_time():
                self.note(False)
            raise
        except TimeoutError:
            self.note(False)
            raise
        self.note(True)
        return value

    def note(self, good):
        self.outcomes.append(good)
        if good:
            self.opened = None
            self.outcomes.clear()
        elif self.opened is not None or self.outcomes.count(False) == self.failures:
            self.opened = time.monotonic()
