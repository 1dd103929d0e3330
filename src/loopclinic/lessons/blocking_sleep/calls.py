"""Calls of a lab's `transcribe`: how each ended, and where they were meanwhile."""

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from types import FrameType, ModuleType
from typing import Any, Self

from aiohttp import ClientSession

from loopclinic.lessons.calling import LabCall
from loopclinic.lessons.whereabouts import Place, line_at
from loopclinic.servers import transcript_of

__all__ = ["Call", "Watch", "settle"]

_POLL = 0.02
_FORCED = 0.3
_sleep, _wait, _threads = asyncio.sleep, asyncio.wait, threading.active_count


class Call(LabCall):
    """A task that awaits `lab.transcribe(session, clip, **options)`."""

    def __init__(
        self, lab: ModuleType, session: ClientSession, clip: bytes, **options: float
    ) -> None:
        self.clip = clip
        super().__init__(lambda: lab.transcribe(session, clip, **options), "transcribe")

    def returned(self, value: Any) -> dict[str, Any]:
        """Return its value, and whether that is the service's text."""
        return {**super().returned(value), "right": value == transcript_of(self.clip)}


async def settle(calls: Iterable[Call], cap: float) -> dict[Call, dict[str, Any]]:
    """Wait up to `cap` seconds for all of them, end the rest, and say how each one ended.

    One that was ended by force is `unfinished`, one that did not end even so `running`.
    """
    calls = list(calls)
    await _wait([call.task for call in calls], timeout=cap)
    late = {call: call.ending() for call in calls if not call.task.done()}
    await Call.end(list(late), _FORCED)
    return {
        call: {**late[call], "how": "unfinished"}
        if call in late and call.task.done()
        else call.ending()
        for call in calls
    }


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
