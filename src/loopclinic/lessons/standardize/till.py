"""The card processor, and calls of a lab's service: how each ended, and where it stood."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from loopclinic.lessons.calling import LabCall
from loopclinic.lessons.whereabouts import related

__all__ = ["Call", "CardDeclinedError", "Till"]

_sleep = asyncio.sleep
_LONGEST = 60
_STOP = 0.3


class CardDeclinedError(Exception):
    """The card processor refused."""


class Till:
    """The gateway that a service is given: it answers when its gate is open."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.declines = False

    async def charge(self, cents: int, currency: str, card: str, reference: str) -> str:
        """Take the money for a reference, once however often it is asked."""
        del cents, currency, card
        self.asked.append(reference)
        await self.gate.wait()
        await _sleep(0.01)
        if self.declines:
            raise CardDeclinedError("the card was declined")
        return f"ch_{reference}"


class Call(LabCall):
    """A call of the lab's billing; `own` is the class of the lab's own errors."""

    def __init__(self, begin: Callable[[], Any], own: type[BaseException]) -> None:
        super().__init__(begin)
        self._own = own

    @property
    def value(self) -> Any:
        """What it returned, None if it did not."""
        done = self.task.done() and not self.task.cancelled() and self.task.exception() is None
        return self.task.result() if done else None

    def returned(self, value: Any) -> dict[str, Any]:
        """Return its value in words."""
        return {"value": _words(value)}

    def raised(self, error: BaseException) -> dict[str, Any]:
        """Return whose error it was: the lab's own, the gateway's."""
        declined = any(isinstance(one, CardDeclinedError) for one in related(error))
        return {"own": isinstance(error, self._own), "declined": declined}

    @staticmethod
    async def over(calls: Sequence["Call"]) -> list[dict[str, Any]]:
        """Say how each ended, or that it still runs, and stop those that do."""
        endings = [call.ending() for call in calls]
        await Call.end(calls, _STOP)
        return endings


def _words(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{type(value).__name__}(...)"
