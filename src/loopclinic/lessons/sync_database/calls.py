"""Calls of a lab's `Audits`: what it asked, how each ended, and where it stood."""

import asyncio
from typing import Any

from loopclinic.lessons.calling import LabCall
from loopclinic.lessons.sync_database.records import Audit, answer_to
from loopclinic.lessons.sync_database.rescue import BrokenOff

__all__ = ["AuditCall", "Model", "ModelError", "attempt"]

_sleep = asyncio.sleep
_STOP = 0.3


class ModelError(Exception):
    """The language model could not answer."""


class Model:
    """The language model as one audit meets it: it answers when its gate is open."""

    def __init__(self, audit: Audit, *, fails: bool = False, gate: asyncio.Event) -> None:
        self.audit = audit
        self.asked: list[str] = []
        self.gate = gate
        self.fails = fails

    async def ask(self, text: str) -> str:
        """Answer a query; a foreign one is answered too, and stays in `asked`."""
        self.asked.append(text)
        await self.gate.wait()
        await _sleep(0.01)
        if self.fails:
            raise ModelError("the model is overloaded")
        try:
            return answer_to(self.audit, text)
        except LookupError:
            return "I do not understand the question."


class _Breakable(LabCall):
    """A call that a rescue may break off: its ending is `broken-off` then."""

    def raised(self, error: BaseException) -> dict[str, Any]:
        """Return how it ended, where a rescue did it."""
        return {"how": "broken-off"} if isinstance(error, BrokenOff) else {}


class AuditCall(_Breakable):
    """A task that awaits `audits.run(audit.id, ask)`."""

    def __init__(
        self, audits: Any, audit: Audit, *, gate: asyncio.Event, fails: bool = False
    ) -> None:
        self.audit = audit
        self.model = Model(audit, gate=gate, fails=fails)
        super().__init__(lambda: audits.run(audit.id, self.model.ask), "run")

    def returned(self, value: Any) -> dict[str, Any]:
        """Return its value, and whether that is right."""
        right = type(value) is int and value == self.audit.mentions
        return {**super().returned(value), "right": right}

    def raised(self, error: BaseException) -> dict[str, Any]:
        """Return whether it was the model's error, too."""
        return {**super().raised(error), "model": _is_model(error)}


def _is_model(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_model(one) for one in error.exceptions)
    return isinstance(error, ModelError)


async def attempt(step: Any, patience: float) -> dict[str, Any] | None:
    """Await one step of a lab's, in a task of its own; say what went wrong, or None."""
    call = await _Breakable(lambda: step).within(patience)
    ending = call.ending()
    await _Breakable.end([call], _STOP)
    return None if ending["how"] == "returned" else ending
