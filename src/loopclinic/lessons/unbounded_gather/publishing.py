"""One call of a lab's `publish`: how it ended, where it stood, and how many tasks there were."""

import asyncio
from time import perf_counter
from types import ModuleType
from typing import Any, Self

from aiohttp import ClientSession

from loopclinic.lessons.calling import awaited
from loopclinic.lessons.unbounded_gather.posts import Source
from loopclinic.lessons.whereabouts import Place, innermost, raised_at, related, waits_at

__all__ = ["Publishing", "end_leftovers"]

_POLL = 0.02
_NAMED = 100_000
_sleep, _wait, _all_tasks = asyncio.sleep, asyncio.wait, asyncio.all_tasks


class Publishing:
    """`async with Publishing(lab, session, source, limit) as call:` runs `publish` as a task."""

    def __init__(self, lab: ModuleType, session: ClientSession, source: Source, limit: int) -> None:
        self.source = source
        self.seconds = 0.0
        self.tasks = 0
        self.unfinished = 0
        self.place: Place | None = None
        self._lab, self._session, self._limit = lab, session, limit
        self._began = perf_counter()
        self._before: set[asyncio.Task[Any]] = set()
        self._reader = source.read()

    async def __aenter__(self) -> Self:
        self._before = set(_all_tasks())
        self._began = perf_counter()
        self.task = asyncio.create_task(self._run())
        self._census = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._census.cancel()
        await _wait([self._census])
        if not self.task.done():
            self.task.cancel()
            await _wait([self.task], timeout=0.3)
        if not self.task.done():
            self.source.stopped = True  # whatever goes on has nothing more to send
            await _wait([self.task], timeout=0.5)

    async def _run(self) -> Any:
        try:
            return await awaited(
                lambda: self._lab.publish(self._session, self._reader, limit=self._limit), "publish"
            )
        finally:
            self.seconds = perf_counter() - self._began
            self.unfinished = self.count()

    async def _look(self) -> None:
        while True:
            self.count()
            place = waits_at(self.task)
            # The first places are those of the start; it is the long wait that tells.
            self.place = place or self.place
            await _sleep(_POLL)

    def count(self) -> int:
        """Count the tasks that the call has made; keeps the peak."""
        mine = {self.task, getattr(self, "_census", self.task)}
        now = len(_all_tasks() - self._before - mine)
        self.tasks = max(self.tasks, now)
        return now

    async def until_done(self, cap: float) -> dict[str, Any]:
        """Wait up to `cap` seconds and say how it ended; it is ended by force after that."""
        await _wait([self.task], timeout=cap)
        if self.task.done():
            return self.ending()
        place, seconds = waits_at(self.task) or self.place, perf_counter() - self._began
        return {"how": "unfinished", "seconds": seconds, "place": place}

    async def cancelled(self, patience: float) -> dict[str, Any]:
        """Cancel the call and say how it ended, with the seconds that this took."""
        place = waits_at(self.task) or self.place
        since = perf_counter()
        self.task.cancel()
        await _wait([self.task], timeout=patience)
        ending = self.ending()
        took = perf_counter() - since
        return {**ending, "seconds": took, "place": ending.get("place") or place}

    def ending(self) -> dict[str, Any]:
        """Say how it ended: `returned`, `raised`, `cancelled` or, so far, `running`."""
        task, common = self.task, {"seconds": self.seconds, "place": self.place}
        if not task.done():
            return {**common, "how": "running"}
        if task.cancelled():
            return {**common, "how": "cancelled"}
        error = task.exception()
        if error is None:
            found = {"unfinished": self.unfinished, **_summary(task.result())}
            return {**common, "how": "returned", **found}
        errors = list(related(error))
        first = next((one for one in errors if not isinstance(one, BaseExceptionGroup)), error)
        return {
            **common,
            "how": "raised",
            "errors": sorted({kind.__name__ for one in errors for kind in type(one).__mro__}),
            "message": f"{type(first).__name__}: {first}"[:300],
            "place": raised_at(*errors) or self.place,
        }


async def end_leftovers(before: set[asyncio.Task[Any]]) -> dict[str, Any]:
    """Count the tasks that are there beyond `before`, with the line of one, and cancel them."""
    ends = perf_counter() + 0.25
    while (left := _all_tasks() - before) and perf_counter() < ends:
        await _sleep(_POLL)
    place = None
    for task in left:
        stack = task.get_stack()
        place = place or innermost([(frame, frame.f_lineno or 0) for frame in stack])
        task.cancel()
    if left:
        await _wait(left, timeout=0.3)
    return {"tasks": len(left), "place": place}


def _summary(value: Any) -> dict[str, Any]:
    published, failed = getattr(value, "published", None), getattr(value, "failed", None)
    sound = isinstance(published, int) and isinstance(failed, dict) and len(failed) <= _NAMED
    found: dict[str, Any] = {"sound": sound, "value": repr(value)[:200]}
    if sound:
        assert isinstance(failed, dict)
        found |= {"published": published, "failed": {str(k): str(v) for k, v in failed.items()}}
    return found
