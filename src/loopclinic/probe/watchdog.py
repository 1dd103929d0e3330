"""The thread that notices a stuck loop and reads its stack while it is still stuck."""

import contextlib
import logging
import os
import sys
import threading
from math import inf
from typing import TYPE_CHECKING

from loopclinic.probe.sidecar import STARVED
from loopclinic.probe.stack import Sample, of_frames, sample
from loopclinic.probe.witness import Witness, native_id

if TYPE_CHECKING:
    from loopclinic.probe.meter import Meter

__all__ = ["Case", "Watchdog"]

_log = logging.getLogger("loopclinic")

_INTERVAL = 0.01  # seconds between looks, unless a threshold is so low that it takes more of them


class Case:
    """What the watchdog gathered on one iteration that lasts too long."""

    __slots__ = ("_last", "_pace", "began", "first_seen", "gil_held", "samples", "weights")

    def __init__(self, began: float, pace: float = _INTERVAL) -> None:
        self.began = began
        self._pace = pace
        self.first_seen: float | None = None
        self.gil_held = False
        self.samples: dict[tuple[str, int], Sample] = {}
        self.weights: dict[tuple[str, int], float] = {}
        self._last = began

    def add(self, found: Sample, now: float) -> None:
        """Book the time since the previous sample to the place where this one was taken."""
        self.samples[found.key] = found
        self.weights[found.key] = self.weights.get(found.key, 0.0) + now - self._last
        self._last = now

    @property
    def due(self) -> float:
        """When the next sample is worth its price: ever more rarely as the stall grows."""
        return self._last + max(self._pace, (self._last - self.began) / 16)

    @property
    def guilty(self) -> Sample | None:
        """The place where most of the time went."""
        weights = self.weights.copy()
        return self.samples[max(weights, key=weights.__getitem__)] if weights else None


class Watchdog:
    """Looks at one meter every few milliseconds. `look` is the whole logic, the thread calls it."""

    def __init__(self, meter: "Meter") -> None:
        self._meter = meter
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.interval = _INTERVAL
        self._looked = inf
        self._spent = 0.0
        self._schedule: int | None = None
        self._witness: Witness | None = None
        self._thread_known = self._native = 0

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="loopclinic-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it, unless it is the caller."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=2)

    @property
    def witness_url(self) -> str | None:
        """Where a browser hears of a held GIL, None where there is no witness."""
        return self._witness.url if self._witness is not None else None

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # not Linux
            self._schedule = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        try:
            self._watch()
        finally:
            if self._schedule is not None:
                os.close(self._schedule)
            if self._witness is not None:
                self._witness.close()

    def _watch(self) -> None:
        while not self._stop.wait(self.interval):
            try:
                if self._witness is None and any(sink.witness for sink in self._meter.sinks):
                    self._witness = Witness()
                self.look()
                now = self._meter.clock()
                for sink in self._meter.sinks:
                    sink.tick(now)
            except Exception:  # a probe must never be what breaks a program, nor go blind
                _log.exception("loopclinic: the watchdog met an error and goes on")

    def look(self) -> None:
        """Sample the loop's stack if the iteration in progress has lasted long enough."""
        meter = self._meter
        now, spent = meter.clock(), self._unheld()
        late, free = now - self._looked - self.interval, spent - self._spent
        self._looked, self._spent = now, spent
        thread_id = getattr(meter.loop, "_thread_id", None) or meter.thread_id
        if self._witness is not None:
            self._hear(self._witness, now, thread_id)
        if not meter.loop.is_running():
            # What passes until the loop is run again is nobody's stall.
            if meter.halted == inf:
                meter.halted = now
            return
        began = meter.began
        if meter.halted < began:
            meter.halted = inf  # it runs again
        age = now - began
        # From half the threshold on: a stall that barely passes it gets its line, too.
        threshold = min((sink.threshold for sink in meter.sinks), default=inf)
        self.interval = min(_INTERVAL, threshold / 4)
        if age < threshold / 2:
            return
        case = meter.case
        new = case is None or case.began != began
        case = Case(began, self.interval) if case is None or new else case
        if late > max(4 * self.interval, age / 2) and (late - free > late / 2 or late > STARVED):
            # This thread could have run, but for the GIL.
            case.gil_held = True
        if not new and now < case.due:
            return
        found = sample(sys._current_frames().get(thread_id))  # noqa: SLF001 - the documented way
        if found is None or meter.began != began:
            return  # the iteration ended meanwhile: what was read may belong to the next
        if case.first_seen is None:
            case.first_seen = age
        case.add(found, now)
        meter.case = case

    def _unheld(self) -> float:
        """Return the seconds for which this thread waited for a processor: not the GIL's doing."""
        if self._schedule is None:
            return 0.0
        # proc(5), schedstat: nanoseconds run, nanoseconds waiting to run, time slices.
        return int(os.pread(self._schedule, 100, 0).split()[1]) * 1e-9

    def _hear(self, witness: Witness, now: float, thread_id: int) -> None:
        """Beat, and take what was seen while this thread could not look."""
        meter = self._meter
        if thread_id != self._thread_known:
            self._thread_known, self._native = thread_id, native_id(thread_id)
        witness.beat(now, self._native)
        for at, frames in witness.collect():
            found = of_frames(frames)
            began = meter.began
            if began <= at:
                case = meter.case
                if case is None or case.began != began:
                    case = Case(began, self.interval)
                if case.first_seen is None:
                    case.first_seen = at - began
                case.add(found, at)
                meter.case = case
                continue
            for sink in meter.sinks:
                sink.amend(at, found)
