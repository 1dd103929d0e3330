"""The watched program's side: a probe for every loop that runs, and word of what each one finds."""

import asyncio
import atexit
import platform
import sys
import threading
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from loopclinic.probe import Probe, Report, Snapshot, Stall
from loopclinic.review.channel import Sender
from loopclinic.review.running_loops import RunningLoops

if TYPE_CHECKING:
    from loopclinic.review.parent_witness import Slots

__all__ = ["Observer", "observe"]

_LOOK = 0.02  # seconds between two looks at whether a loop was closed
_TICK = 0.1  # seconds between two ticks of the live view
_REPORT = 1.0  # seconds between two reports, fewer at first: what is known if the program is killed
_PATIENCE = 1.0  # seconds that a stall without a line waits for one from outside the process


class Observer:
    """Gives each loop that runs a probe until it is closed, and tells of it by `sender`."""

    def __init__(
        self, sender: Sender, *, threshold: float, slots: "Slots | None", witness: bool = False
    ) -> None:
        self._sender = sender
        self._threshold, self._slots, self._witness = threshold, slots, witness
        self._born = perf_counter()
        self._lock = threading.Lock()
        self._watches: dict[asyncio.AbstractEventLoop, _Watch] = {}
        self._count = 0

    def began(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to watch a loop that is about to run, unless it is watched already."""
        if not self._sender.open:  # a forked process, in which the lock may be held for ever
            return
        with self._lock:
            if loop in self._watches:
                return
            self._count += 1
            number = self._count
        slots = self._slots
        join = partial(slots.join, number, self._born) if slots is not None else None
        probe = Probe(loop=loop, threshold=self._threshold, witness=self._witness, _witness=join)
        kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
        at = perf_counter() - self._born
        message = {
            "kind": "loop",
            "id": number,
            "type": kind,
            "thread": threading.current_thread().name,
            "at": at,
        }
        try:
            probe.start()
        except Exception as error:  # the program's loop runs, watched or not
            self._sender.send({**message, "unwatched": str(error)})
            return
        self._sender.send(message)
        watch = _Watch(number, probe, self._sender, at)
        with self._lock:
            self._watches[loop] = watch
        probe.subscribe(lambda: self._look(loop, watch), every=_LOOK)

    def ended(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep what is known of a loop that stopped: most are never run again."""
        watch = self._watches.get(loop)
        if watch is not None and self._sender.open:
            watch.keep()

    def close(self) -> None:
        """Tell of everything there is, and stop."""
        if not self._sender.open:
            return
        with self._lock:
            watches = list(self._watches.items())
            self._watches.clear()
        for loop, watch in watches:
            if loop.is_running():  # in a thread that outlives the program
                watch.keep()
            watch.finish()
        self._sender.send({"kind": "end", "at": perf_counter() - self._born})

    def _look(self, loop: asyncio.AbstractEventLoop, watch: "_Watch") -> None:
        if not loop.is_closed():
            watch.tick()
            return
        with self._lock:
            mine = self._watches.pop(loop, None)
        if mine is not None:
            mine.finish()


class _Watch:
    """One loop's probe, and how much of what it found has been told."""

    def __init__(self, number: int, probe: Probe, sender: Sender, began: float) -> None:
        self._number, self._probe, self._began = number, probe, began
        self._send = sender.send
        self._lock = threading.Lock()  # the loop's thread and the probe's own
        self._last: Snapshot = probe.snapshot()
        self._ticked = perf_counter()
        self._told = -1.0  # when the newest stall that was told began
        self._reported = 0.0
        self._kept: Report | None = None

    def keep(self) -> None:
        """Take the report at the moment the loop stops: what passes afterwards is nobody's stall."""
        # Its last iteration may be the stall: no other one follows that would book it.
        last, report = self._probe.current(), self._probe.report()
        if last is not None:
            report = replace(report, stalls=(*report.stalls, last))
        self._kept = report

    def tick(self) -> None:
        """Tell what happened since the last tick, if it is due."""
        now = perf_counter()
        if now - self._ticked < _TICK:
            return
        self._ticked = now
        with self._lock:
            current, snapshot = self._probe.current(), self._probe.snapshot()
            span, census = snapshot.since(self._last), self._probe.census()
            self._last = snapshot
            self._tell_stalls(self._probe.stalls, snapshot.at)
            self._send(
                {
                    "kind": "tick",
                    "id": self._number,
                    "at": self._began + snapshot.at,
                    "lag": max(span.lag.max, current.seconds if current is not None else 0.0),
                    "utilization": span.utilization,
                    "tasks": census.tasks,
                    "requests": census.requests,
                    "queued": census.executor_queued,
                    "stall": self._stall(current) if current is not None else None,
                }
            )
            if snapshot.at - self._reported >= min(_REPORT, snapshot.at / 4):
                self._reported = snapshot.at
                self._tell_report(self._probe.report())

    def finish(self) -> None:
        """Stop the probe and tell the rest."""
        self._probe.stop()
        with self._lock:
            report = self._kept or self._probe.report()
            self._tell_stalls(report.stalls, float("inf"))
            self._tell_report(report, over=True)

    def _tell_stalls(self, stalls: tuple[Stall, ...], now: float) -> None:
        fresh: list[Stall] = []
        for stall in reversed(stalls):
            if stall.started <= self._told:
                break
            fresh.append(stall)
        for stall in reversed(fresh):
            if stall.file is None and now - stall.started - stall.seconds < _PATIENCE:
                break  # those after it wait with it, so that they stay in order
            self._told = stall.started
            self._send({"kind": "stall", "id": self._number, "stall": self._stall(stall)})

    def _tell_report(self, report: Report, *, over: bool = False) -> None:
        figures = {name: value for name, value in report.to_dict().items() if name != "stalls"}
        self._send({"kind": "report", "id": self._number, "report": figures, "over": over})

    def _stall(self, stall: Stall) -> dict[str, Any]:
        """Return the stall with its beginning counted from the program's own."""
        return {**stall.to_dict(), "started": self._began + stall.started}


def observe(*, channel: int, threshold: float, witness: dict[str, Any] | None) -> None:
    """Watch every loop of this process from now to its end, and tell of it by a descriptor.

    `witness` is what `Slots` is made of, empty where the parent has no such means, None where no
    witness is wanted.
    """
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - only there
        import os  # noqa: PLC0415

        channel = msvcrt.open_osfhandle(channel, os.O_WRONLY)
    sender = Sender(channel)
    sender.send({"kind": "hello", "python": platform.python_version()})
    slots = None
    if witness:
        from loopclinic.review.parent_witness import Slots  # noqa: PLC0415 - Linux only

        slots = Slots(**witness, tell=sender.send)
    wanted = witness is not None and slots is None
    observer = Observer(sender, threshold=threshold, slots=slots, witness=wanted)
    RunningLoops(observer.began, observer.ended).install()
    atexit.register(observer.close)
