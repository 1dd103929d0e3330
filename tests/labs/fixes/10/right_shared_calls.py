"""Lab 10, solved with one task for all callers of an item: it ends when the last of them leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple


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
        self._fetch, self._deadline, self._failures, self._rest = fetch, deadline, failures, rest
        self._places = asyncio.Semaphore(limit)
        self._calls: dict[str, asyncio.Task[float]] = {}
        self._waiting: dict[asyncio.Task[float], int] = {}
        self._known: dict[str, float] = {}
        self._in_a_row = 0
        self._closed_until = float("-inf")
        self._probe: asyncio.Task[float] | None = None
        self._calls_made = self._retried = 0

    async def get(self, item: str) -> Price:
        self._calls_made += 1
        task = self._calls.get(item)
        if task is None:
            task = self._calls[item] = asyncio.create_task(self._run(item))
            task.add_done_callback(lambda done: self._ended(item, done))
        self._waiting[task] = self._waiting.get(task, 0) + 1
        try:
            await asyncio.wait([task], timeout=self._deadline)
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task]
                task.cancel()
        if task.done() and not task.cancelled():
            error = task.exception()
            if error is None:
                return Price(task.result())
            if not isinstance(error, ConnectionError | TimeoutError):
                raise error
        if item in self._known:
            return Price(self._known[item], stale=True)
        raise UnavailableError(item)

    def _ended(self, item: str, task: asyncio.Task[float]) -> None:
        del self._calls[item]
        if not task.cancelled():
            task.exception()
        if self._probe is task:
            self._probe = None

    async def _run(self, item: str) -> float:
        until = asyncio.get_running_loop().time() + self._deadline
        self._admit()
        async with asyncio.timeout_at(until):
            await self._places.acquire()
        try:
            try:
                return await self._once(item, until)
            except ConnectionError:
                if self._retried > self._calls_made / 10:
                    raise
                self._retried += 1
                return await self._once(item, until)
        finally:
            self._places.release()

    def _admit(self) -> None:
        if self._in_a_row >= self._failures:
            now = asyncio.get_running_loop().time()
            if now < self._closed_until or self._probe not in (None, asyncio.current_task()):
                raise ConnectionError("resting")
            self._probe = asyncio.current_task()

    async def _once(self, item: str, until: float) -> float:
        self._admit()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(until - 0.001):
                value = await self._fetch(item)
        except (ConnectionError, TimeoutError):
            self._in_a_row += 1
            self._closed_until = loop.time() + self._rest
            raise
        self._in_a_row = 0
        self._known[item] = value
        return value
