"""Watches the child's main thread from a thread of its own, so that a lab that never ends can be named."""

import asyncio
import sys
import threading
import time
from typing import Any

from loopclinic.checks.channel import Channel
from loopclinic.checks.loading import LabSource
from loopclinic.lessons.whereabouts import awaiting

__all__ = ["Lookout", "waiting_places"]

_PERIOD = 0.25
_now = time.monotonic
_frames = sys._current_frames  # noqa: SLF001 - the documented way to another thread's stack


class Lookout:
    """Reports every quarter second whether the main thread is stuck, and where.

    While a loop runs, it is stuck when a callback handed to it is not called. Before that (import) the
    phase counts from `begin`. A second before the supervisor ends the trial, `seconds` after `begin`, it
    reports what every task waits for.
    """

    def __init__(self, channel: Channel, lab: LabSource, seconds: float) -> None:
        self._channel = channel
        self._lab = lab
        self._seconds = seconds
        self._ends = _now() + seconds
        self._main = threading.main_thread().ident or 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._since = _now()
        self._answered = True
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loopclinic-lookout", daemon=True)

    def start(self) -> None:
        """Begin to watch a phase without a loop."""
        self._thread.start()

    def begin(self) -> None:
        """Count from here how long the main thread has been in this phase, and the trial's seconds."""
        self._since = _now()
        self._ends = self._since + self._seconds

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch this loop from here on."""
        self._answered = True
        self._loop = loop

    def stop(self) -> None:
        """End the watch; what is reported afterwards would be the child's own work."""
        self._stopped.set()

    def _run(self) -> None:
        waits_reported = False
        while not self._stopped.wait(_PERIOD):
            try:
                loop = self._loop
                self._report(loop)
                if loop is not None and not waits_reported and _now() > self._ends - 4 * _PERIOD:
                    waits_reported = True
                    loop.call_soon_threadsafe(self._report_waits, loop)
            except (OSError, RuntimeError):  # the channel or the loop was closed under us
                return

    def _report(self, loop: asyncio.AbstractEventLoop | None) -> None:
        stuck = None
        if loop is None or not self._answered:
            place = self._lab.place_of_frame(_frames().get(self._main))
            stuck = {"seconds": _now() - self._since, "place": place}
        elif not loop.is_closed():
            self._answered = False
            self._since = _now()
            loop.call_soon_threadsafe(self._answer)
        self._channel.send("alive", stuck=stuck)

    def _answer(self) -> None:
        self._answered = True

    def _report_waits(self, loop: asyncio.AbstractEventLoop) -> None:
        self._channel.send("waits", places=waiting_places(loop, self._lab))


def waiting_places(loop: asyncio.AbstractEventLoop, lab: LabSource) -> list[dict[str, Any]]:
    """Return the learner's innermost line of every task that waits inside the lab."""
    found = []
    for task in asyncio.all_tasks(loop):
        place = lab.place(awaiting(task))
        if place is not None:
            found.append({**place, "task": task.get_name()})
    return found
