"""Calls of a lab's `Audits`: what it asked, how each ended, and where it stood."""

import asyncio
import inspect
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from loopclinic.lessons.sync_database.records import Audit, answer_to
from loopclinic.lessons.sync_database.rescue import BrokenOff
from loopclinic.lessons.whereabouts import Place, raised_at, waits_at

__all__ = ["AuditCall", "Model", "ModelError", "attempt"]

_sleep, _wait = asyncio.sleep, asyncio.wait


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


class AuditCall:
    """A task that awaits `audits.run(audit.id, ask)`."""

    def __init__(
        self, audits: Any, audit: Audit, *, gate: asyncio.Event, fails: bool = False
    ) -> None:
        self.audit = audit
        self.model = Model(audit, gate=gate, fails=fails)
        self.began = perf_counter()
        self.ended: float | None = None
        self.task = asyncio.create_task(self._run(audits))

    async def _run(self, audits: Any) -> Any:
        try:
            answer = audits.run(self.audit.id, self.model.ask)
            if not inspect.isawaitable(answer):
                raise TypeError("run must stay async: what it returned can't be awaited")
            return await answer
        finally:
            self.ended = perf_counter()

    def ending(self, *, since: float | None = None) -> dict[str, Any]:
        """Say how it ended: `returned`, `raised`, `cancelled`, `broken-off` or, so far, `running`.

        `seconds` count from its start, or from `since` (on perf_counter).
        """
        seconds = (self.ended or perf_counter()) - (self.began if since is None else since)
        found: dict[str, Any] = {"seconds": seconds, "audit": self.audit.id}
        task = self.task
        if not task.done():
            return {**found, "how": "running", "place": self.place()}
        if task.cancelled():
            return {**found, "how": "cancelled", "place": None}
        error = task.exception()
        if error is None:
            value = task.result()
            right = type(value) is int and value == self.audit.mentions
            return {**found, "how": "returned", "value": repr(value)[:200], "right": right}
        return {
            **found,
            "how": "broken-off" if isinstance(error, BrokenOff) else "raised",
            "error": [kind.__name__ for kind in type(error).__mro__],
            "message": f"{type(error).__name__}: {error}"[:300],
            "model": _is_model(error),
            "place": raised_at(error),
        }

    def place(self) -> Place | None:
        """Return the learner's innermost line that this call waits at, or None."""
        return waits_at(self.task)

    @staticmethod
    async def end(calls: Sequence["AuditCall"], patience: float) -> list[dict[str, Any]]:
        """Cancel what still runs, wait for `patience` seconds at most, and say how each ended."""
        since = perf_counter()
        for call in calls:
            call.task.cancel()
        if calls:
            await _wait([call.task for call in calls], timeout=patience)
        return [call.ending(since=since) for call in calls]


def _is_model(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_model(one) for one in error.exceptions)
    return isinstance(error, ModelError)


async def attempt(step: Any, patience: float) -> dict[str, Any] | None:
    """Await one step of a lab's, in a task of its own; say what went wrong, or None."""
    task = asyncio.ensure_future(step)
    await _wait([task], timeout=patience)
    if not task.done():
        task.cancel()
        await _wait([task], timeout=0.3)
        return {"how": "running", "seconds": patience, "message": "", "place": None}
    if task.cancelled():
        return {"how": "cancelled", "seconds": 0.0, "message": "CancelledError", "place": None}
    error = task.exception()
    if error is None:
        return None
    return {
        "how": "broken-off" if isinstance(error, BrokenOff) else "raised",
        "seconds": 0.0,
        "message": f"{type(error).__name__}: {error}"[:300],
        "place": raised_at(error),
    }
