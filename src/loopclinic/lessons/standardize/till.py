"""The card processor, and calls of a lab's service: how each ended, and where it stood."""

import asyncio
import inspect
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from loopclinic.lessons.whereabouts import Place, raised_at, related, waits_at

__all__ = ["Call", "CardDeclinedError", "Till"]

_sleep, _wait = asyncio.sleep, asyncio.wait
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


class Call:
    """A task that awaits what `begin()` returns."""

    def __init__(self, begin: Callable[[], Any]) -> None:
        self.began = perf_counter()
        self.ended: float | None = None
        self.task = asyncio.create_task(self._run(begin))

    async def _run(self, begin: Callable[[], Any]) -> Any:
        try:
            answer = begin()
            if not inspect.isawaitable(answer):
                raise TypeError(
                    f"it must be async: what it returned, a {type(answer).__name__}, can't be awaited"
                )
            return await answer
        finally:
            self.ended = perf_counter()

    async def within(self, seconds: float) -> "Call":
        """Wait for its end, so long at most."""
        await _wait([self.task], timeout=seconds)
        return self

    @property
    def value(self) -> Any:
        """What it returned, None if it did not."""
        done = self.task.done() and not self.task.cancelled() and self.task.exception() is None
        return self.task.result() if done else None

    @property
    def place(self) -> Place | None:
        """The learner's innermost line that it waits at."""
        return waits_at(self.task)

    def ending(self, own: type[BaseException], *, since: float | None = None) -> dict[str, Any]:
        """Say how it ended: `returned`, `raised`, `cancelled` or, so far, `running`.

        `own` is the class of the lab's own errors. `seconds` count from its start, or from `since`.
        """
        seconds = (self.ended or perf_counter()) - (self.began if since is None else since)
        task = self.task
        if not task.done():
            return {"seconds": seconds, "how": "running", "place": self.place}
        if task.cancelled():
            return {"seconds": seconds, "how": "cancelled", "place": None}
        error = task.exception()
        if error is None:
            return {"seconds": seconds, "how": "returned", "value": _words(task.result())}
        every = list(related(error))
        return {
            "seconds": seconds,
            "how": "raised",
            "error": [kind.__name__ for kind in type(error).__mro__],
            "message": f"{type(error).__name__}: {error}".partition("\n")[0][:200],
            "own": isinstance(error, own),
            "declined": any(isinstance(one, CardDeclinedError) for one in every),
            "place": raised_at(*every),
        }

    @staticmethod
    async def over(calls: Sequence["Call"], own: type[BaseException]) -> list[dict[str, Any]]:
        """Say how each ended, or that it still runs, and stop those that do."""
        endings = [call.ending(own) for call in calls]
        await Call.end(calls, _STOP, own)
        return endings

    @staticmethod
    async def end(
        calls: Sequence["Call"], patience: float, own: type[BaseException]
    ) -> list[dict[str, Any]]:
        """Cancel what still runs, wait for `patience` seconds at most, and say how each ended."""
        since = perf_counter()
        running = [call.task for call in calls if not call.task.done()]
        for task in running:
            task.cancel()
        if running:
            await _wait(running, timeout=patience)
        return [call.ending(own, since=since) for call in calls]


def _words(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{type(value).__name__}(...)"
