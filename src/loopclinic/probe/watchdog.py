"""The thread that notices a stuck loop and reads its stack while it is still stuck."""

import logging
import sys
import threading
import time
from math import inf
from typing import TYPE_CHECKING

from loopclinic.probe.stack import Sample, sample

if TYPE_CHECKING:
    from loopclinic.probe.meter import Meter

__all__ = ["Case", "Watchdog"]

_log = logging.getLogger("loopclinic")

_INTERVAL = 0.005  # seconds between looks: a stall is seen within this of passing the threshold


class Case:
    """What the watchdog gathered on one iteration that lasts too long."""

    __slots__ = ("_last", "began", "first_seen", "gil_held", "samples", "weights")

    def __init__(self, began: float) -> None:
        self.began = began
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
        return self._last + max(_INTERVAL, (self._last - self.began) / 16)

    @property
    def guilty(self) -> Sample | None:
        """The place where most of the time went."""
        weights = self.weights.copy()
        return self.samples[max(weights, key=weights.__getitem__)] if weights else None


class Watchdog:
    """Looks at one meter every 5 ms. `look` is the whole logic; the thread only calls it."""

    def __init__(self, meter: "Meter") -> None:
        self._meter = meter
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._looked = inf
        self._cpu = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="loopclinic-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it, unless it is the caller."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL):
            try:
                self.look()
                now = self._meter.clock()
                for sink in self._meter.sinks:
                    sink.tick(now)
            except Exception:  # a probe must never be what breaks a program, nor go blind
                _log.exception("loopclinic: the watchdog met an error and goes on")

    def look(self) -> None:
        """Sample the loop's stack if the iteration in progress has lasted long enough."""
        meter = self._meter
        now, cpu = meter.clock(), time.process_time()
        late, spent = now - self._looked - _INTERVAL, cpu - self._cpu
        self._looked, self._cpu = now, cpu
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
        if age < min((sink.threshold for sink in meter.sinks), default=inf) / 2:
            return
        case = meter.case
        if case is None or case.began != began:
            case = Case(began)
        elif now < case.due:
            return
        thread_id = getattr(meter.loop, "_thread_id", None) or meter.thread_id
        found = sample(sys._current_frames().get(thread_id))  # noqa: SLF001 - the documented way
        if found is None or meter.began != began:
            return  # the iteration ended meanwhile: what was read may belong to the next
        if case.first_seen is None:
            case.first_seen = age
        if late > max(4 * _INTERVAL, age / 2) and spent > late / 2:
            # This thread was kept waiting while the process computed: somebody held the GIL.
            case.gil_held = True
        case.add(found, now)
        meter.case = case
