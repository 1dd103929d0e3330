"""A call of a lab's own code, as a task: how it ended, and where it stood."""

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Self

from loopclinic.lessons.core.call import awaited
from loopclinic.lessons.whereabouts import Place, raised_at, related, waits_at

__all__ = ["LabCall"]

# Kept from before a lab is imported, which may replace them.
_wait, _perf_counter = asyncio.wait, perf_counter


class LabCall:
    """A task that awaits what `begin()` returns; `what` is what errors call it."""

    def __init__(self, begin: Callable[[], Any], what: str = "it") -> None:
        self.began = _perf_counter()
        self.ended: float | None = None
        self.task = asyncio.create_task(self._run(begin, what))

    async def _run(self, begin: Callable[[], Any], what: str) -> Any:
        self.began = _perf_counter()
        try:
            return await awaited(begin, what)
        finally:
            self.ended = _perf_counter()

    @property
    def place(self) -> Place | None:
        """The learner's innermost line that it waits at, or None."""
        return waits_at(self.task)

    async def within(self, seconds: float) -> Self:
        """Wait for its end, so long at most."""
        await _wait([self.task], timeout=seconds)
        return self

    def seconds(self, since: float | None = None) -> float:
        """Return how long it took, or has taken so far, from its start or from `since`."""
        return (self.ended or _perf_counter()) - (self.began if since is None else since)

    def ending(self, *, since: float | None = None) -> dict[str, Any]:
        """Say how it ended: `returned`, `raised`, `cancelled` or, so far, `running`.

        `seconds` count from its start, or from `since` (on perf_counter).
        """
        found: dict[str, Any] = {"seconds": self.seconds(since)}
        task = self.task
        if not task.done():
            return {**found, "how": "running", "place": self.place}
        if task.cancelled():
            return {**found, "how": "cancelled", "place": None}
        error = task.exception()
        if error is None:
            return {**found, "how": "returned", "place": None, **self.returned(task.result())}
        return {
            **found,
            "how": "raised",
            "error": [kind.__name__ for kind in type(error).__mro__],
            "message": _in_words(error),
            "place": raised_at(*related(error)),
            **self.raised(error),
        }

    def returned(self, value: Any) -> dict[str, Any]:
        """Return what there is to say of its value."""
        return {"value": repr(value)[:200]}

    def raised(self, error: BaseException) -> dict[str, Any]:
        """Return what else there is to say of its error."""
        del error
        return {}

    @staticmethod
    async def end(calls: Sequence["LabCall"], patience: float) -> list[dict[str, Any]]:
        """Cancel what still runs, wait for `patience` seconds at most, and say how each ended."""
        since = _perf_counter()
        running = [call.task for call in calls if not call.task.done()]
        for task in running:
            task.cancel()
        if running:
            await _wait(running, timeout=patience)
        return [call.ending(since=since) for call in calls]

    @staticmethod
    def waits_at(calls: Sequence["LabCall"]) -> Place | None:
        """Return where the first of them waits that waits in the learner's code, or None."""
        return next((place for call in calls if (place := call.place)), None)


def _in_words(error: BaseException) -> str:
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first}"[:300] if first else type(error).__name__
