"""One call of a lab's `transcribe`: how it ended, and where it was meanwhile."""

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from time import perf_counter
from types import FrameType, ModuleType
from typing import Any, Self

from aiohttp import ClientSession

from loopclinic.lessons.calling import LabTask
from loopclinic.lessons.whereabouts import Place, line_at, raised_at

__all__ = ["Call", "Ending", "Watch", "settle"]

_POLL = 0.02
_sleep, _wait, _threads = asyncio.sleep, asyncio.wait, threading.active_count


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended.

    `returned`, `raised`, `cancelled`, `unfinished` (it was ended by force), or `stubborn` (it did
    not end even so). `seconds` count from its start, or from its cancellation.
    """

    how: str
    seconds: float
    value: Any = None
    error: str = ""
    """The exception's class, and its base classes' names, separated by blanks."""
    message: str = ""
    place: Place | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


class Call(LabTask):
    """A task that awaits `lab.transcribe(session, clip, **options)`."""

    def __init__(
        self, lab: ModuleType, session: ClientSession, clip: bytes, **options: float
    ) -> None:
        self.clip = clip
        super().__init__(lambda: lab.transcribe(session, clip, **options), "transcribe")

    def ending(self, *, since: float | None = None, forced: bool = False) -> Ending:
        """Say how the call ended; `since` (on perf_counter) stands in for its start."""
        seconds = self.seconds(since)
        task = self.task
        if not task.done():
            return Ending("stubborn", seconds, place=self.place)
        if forced:
            return Ending("unfinished", seconds)
        if task.cancelled():
            return Ending("cancelled", seconds)
        error = task.exception()
        if error is None:
            value = task.result()
            plain = value if isinstance(value, str) else repr(value)[:200]
            return Ending("returned", seconds, value=plain)
        names = " ".join(kind.__name__ for kind in type(error).__mro__)
        return Ending(
            "raised", seconds, error=names, message=str(error)[:300], place=raised_at(error)
        )


async def settle(calls: Iterable[Call], cap: float) -> dict[Call, Ending]:
    """Wait up to `cap` seconds for all of them, end the rest, and say how each one ended."""
    calls = list(calls)
    await _wait([call.task for call in calls], timeout=cap)
    late = [call for call in calls if not call.task.done()]
    places = {call: call.place for call in late}
    began = {call: perf_counter() - call.began for call in late}
    for call in late:
        call.task.cancel()
    if late:
        await _wait([call.task for call in late], timeout=0.3)
    endings = {}
    for call in calls:
        ending = call.ending(forced=call in began)
        if call in began and ending.how != "stubborn":
            ending = Ending("unfinished", began[call], place=places[call])
        endings[call] = ending
    return endings


class Watch:
    """While it is open, samples where calls wait, the most threads there are, and nested loops."""

    def __init__(self, calls: Iterable[Call] = ()) -> None:
        self.calls = list(calls)
        self.places: Counter[tuple[str, int]] = Counter()
        self.threads = _threads()
        self.nested = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await _wait([self._task])

    @property
    def place(self) -> Place | None:
        """The learner's line at which most of the waiting was done, or None."""
        if not self.places:
            return None
        (file, line), _ = self.places.most_common(1)[0]
        return line_at(file, line)

    async def _look(self) -> None:
        while True:
            self.threads = max(self.threads, _threads())
            for call in self.calls:
                if not call.task.done() and (place := call.place) is not None:
                    self.places[place["file"], place["line"]] += 1
            self.nested = self.nested or _nested(sys._getframe())  # noqa: SLF001 - documented
            await _sleep(_POLL)


def _nested(frame: FrameType | None) -> bool:
    depth = 0
    while frame is not None:
        depth += frame.f_code.co_name == "_run_once"
        frame = frame.f_back
    return depth > 1
