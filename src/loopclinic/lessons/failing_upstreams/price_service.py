"""A price service in memory that notes what it bears, and the lab's Prices that asks it; in virtual time."""

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from loopclinic.lessons.core import Call, Calls, Ending, Place
from loopclinic.lessons.core.call import now
from loopclinic.lessons.core.stacks import defined_at, stands_at

DEADLINE, LIMIT, FAILURES, REST = 1.0, 8, 4, 30.0
LATENCY = 0.1
PATIENCE = 10.0
"""Seconds after which a call is given up."""


class Service:
    """Tells prices, as its fault lets it, and notes what it had to bear."""

    def __init__(self) -> None:
        self.version = 1
        self.fault: Callable[[int], float | BaseException] = well
        """For the n-th call: how long it takes, or what it raises after `fails_after` seconds."""
        self.fails_after = LATENCY / 2
        self.begun = self.now = self.peak = 0
        self.line: Place | None = None
        """The learner's line that called last."""
        self.sync = False
        """Whether that was inside of a sync function with a `try` or `with`."""

    def price(self, item: str) -> int:
        """Return the price of today; the first one is 0."""
        return 1000 * (self.version - 1) + int(item)

    def fetch(self, item: str) -> Coroutine[Any, Any, int]:
        """Return the call, to be awaited."""
        frame = sys._getframe(1)  # noqa: SLF001 - documented
        self.line = stands_at(frame) or self.line
        while frame.f_back and not frame.f_code.co_flags & inspect.CO_COROUTINE:
            self.sync = self.sync or bool(frame.f_code.co_exceptiontable)
            frame = frame.f_back
        return self._call(item)

    async def _call(self, item: str) -> int:
        self.begun += 1
        self.now += 1
        self.peak = max(self.peak, self.now)
        try:
            fault = self.fault(self.begun)
            await asyncio.sleep(fault if isinstance(fault, float) else self.fails_after)
            if isinstance(fault, BaseException):
                raise fault
            return self.price(item)
        finally:
            self.now -= 1


def well(_: int) -> float:
    """Take the usual time."""
    return LATENCY


def hangs(_: int) -> float:
    """Take longer than anybody waits."""
    return 1000.0


def down(_: int) -> BaseException:
    """Refuse."""
    return ConnectionRefusedError("the price service refused the connection")


@dataclass(frozen=True, slots=True)
class Answer:
    """What `get` answered: `fresh`, `stale`, `older`, `unavailable`, another ending, or `wrong`."""

    kind: str
    ending: Ending
    begun: int
    """Calls of `fetch` that began meanwhile."""


@dataclass(frozen=True, slots=True)
class Code:
    """The lines that define `get` and call `fetch`; whether a sync function with a `try` does the latter."""

    get: Place | None
    fetch: Place | None
    sync: bool


class Shop:
    """A `Prices` of the lab, its service, and how to ask it."""

    def __init__(self, lab: ModuleType, limit: int = LIMIT) -> None:
        self.service = Service()
        options = {"deadline": DEADLINE, "limit": limit, "failures": FAILURES, "rest": REST}
        self._prices = lab.Prices(self.service.fetch, **options)
        self._known: dict[str, int] = {}
        self._get = defined_at(lab.Prices.get)

    @property
    def code(self) -> Code:
        """The lines to name."""
        return Code(self._get, self.service.line or self._get, self.service.sync)

    def begin(self, item: int) -> Call:
        """Begin a call for the price of an item."""
        return Call(lambda: self._prices.get(str(item)), "Prices.get")

    async def ask(self, *items: int) -> list[Answer]:
        """Ask for these at once; return the answers."""
        begun = self.service.begun
        calls = Calls({item: self.begin(item) for item in items})
        endings = await calls.settled(PATIENCE)
        more = self.service.begun - begun
        return [
            Answer(self._kind(str(item), call, ending), ending, more)
            for (item, call), ending in zip(calls.items(), endings, strict=True)
        ]

    async def ask_resting(self, *shares: float) -> list[Answer]:
        """Ask at these shares of a rest that begins now, at the latest."""
        answers, began = list[Answer](), now()
        for share in shares:
            await asyncio.sleep(max(0.0, began + share * REST - now()))
            answers += await self.ask(0)
        return answers

    def _kind(self, item: str, call: Call, ending: Ending) -> str:
        if ending.is_error("UnavailableError"):
            return "unavailable"
        if not ending.returned:
            return ending.how
        value, stale = (getattr(call.value, name, None) for name in ("value", "stale"))
        if value == self.service.price(item) and not stale:
            self._known[item] = self.service.price(item)
            return "fresh"
        if value is None or stale is not True:
            return "wrong"
        return "stale" if value == self._known.get(item) else "older"
