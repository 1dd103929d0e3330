"""Messages from the child to its supervisor: JSON lines on a pipe, findings, where its main thread is stuck."""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from loopclinic.checks.loading import LabSource
from loopclinic.lessons.core.stacks import awaiting
from loopclinic.probe.frames import giving_back, top_frame

REPORTED = 20
"""Errors that are reported of asyncio's exception handler: enough to see a pattern."""

_write = os.write
_pid = os.getpid


class Channel:
    """Sends JSON lines to the supervisor from any thread, marked so that noise is told apart."""

    def __init__(self, number: int) -> None:
        self.fd = _descriptor(number)
        os.set_inheritable(self.fd, False)
        self._mark = b""
        self._lock = threading.Lock()
        self._owner = _pid()

    def open(self, mark: str) -> None:
        """Begin every line with `mark` from now on."""
        self._mark = mark.encode()

    def send(self, kind: str, **values: Any) -> None:
        """Send one line; TypeError if a value is not a JSON value."""
        if _pid() != self._owner:
            return  # a fork of the lab must not speak for the trial
        data = self._mark + json.dumps({"kind": kind, **values}).encode() + b"\n"
        with self._lock:
            while data:
                # loopclinic: ignore[blocking-file-io] a pipe that the supervisor reads at once
                data = data[_write(self.fd, data) :]


def _descriptor(number: int) -> int:
    if sys.platform == "win32":
        import msvcrt  # only there

        return msvcrt.open_osfhandle(number, os.O_WRONLY)
    return number


_PERIOD = 0.25
_now = time.monotonic


class StuckReporter:
    """Reports every quarter second whether the main thread is stuck, and where.

    After each report it calls `also`. While a loop runs, it is stuck when a callback handed to it is not called. Before that (import) the
    phase counts from `begin`. A second before the supervisor ends the trial, `seconds` after `begin`, it
    reports what every task waits for.
    """

    def __init__(
        self, channel: Channel, lab: LabSource, seconds: float, also: Callable[[], None]
    ) -> None:
        self._channel, self._lab, self._seconds, self._also = channel, lab, seconds, also
        self._main = threading.main_thread().ident or 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answered, self._stopped = True, threading.Event()
        name = "loopclinic-stuck-reporter"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.begin()

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
                self._also()
                if loop is not None and not waits_reported and _now() > self._ends - 4 * _PERIOD:
                    waits_reported = True
                    loop.call_soon_threadsafe(self._report_waits, loop)
            except (OSError, RuntimeError):  # the channel or the loop was closed under us
                return

    def _report(self, loop: asyncio.AbstractEventLoop | None) -> None:
        stuck = None
        if loop is None or not self._answered:
            with giving_back(loop):
                place = self._lab.place_of_frame(top_frame(self._main))
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
    return [
        {**place, "task": task.get_name()}
        for task in asyncio.all_tasks(loop)
        if (place := lab.place(awaiting(task))) is not None
    ]
