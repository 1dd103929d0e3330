"""Lab 10, solved with purgatory's state: told what counts, since its context manager counts cancellations, too."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from purgatory.domain.model import HALF_OPENED, Context, OpenedState

SICK = (ConnectionError, TimeoutError)


@dataclass
class Price:
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
        self._circuit = Context("prices", threshold=failures, ttl=rest)
        self._places = asyncio.BoundedSemaphore(limit)
        self._trying = False
        self._known: dict[str, float] = {}
        self._tokens = 10

    async def get(self, item: str) -> Price:
        self._tokens = min(self._tokens + 1, 20)
        try:
            async with asyncio.timeout(self._deadline) as whole:
                try:
                    return await self._asked(item, whole)
                except ConnectionError:
                    if self._tokens < 10:
                        raise
                    self._tokens -= 10
                    return await self._asked(item, whole)
        except (*SICK, OpenedState):
            try:
                return Price(self._known[item], stale=True)
            except KeyError:
                raise UnavailableError(item) from None

    async def _asked(self, item: str, whole: asyncio.Timeout) -> Price:
        self._refuse()
        async with self._places:
            self._refuse()
            self._trying = trying = self._circuit.state == HALF_OPENED
            try:
                value = await self._fetch(item)
            except SICK as error:
                self._circuit.handle_exception(error)
                raise
            except asyncio.CancelledError:
                if whole.expired():
                    self._circuit.handle_exception(TimeoutError())
                raise
            finally:
                self._circuit.messages.clear()
                if trying:
                    self._trying = False
            self._circuit.handle_end_request()
            self._known[item] = value
            return Price(value)

    def _refuse(self) -> None:
        if self._trying:
            raise ConnectionError("one at a time")
        self._circuit.handle_new_request()
