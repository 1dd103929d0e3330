"""The probe: measures one event loop from within its own process."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf
from threading import Lock
from typing import Self

from loopclinic.probe.attachment import attach, detach
from loopclinic.probe.census import Census, census_of
from loopclinic.probe.diagnosis import findings
from loopclinic.probe.histogram import SHORT
from loopclinic.probe.meter import Meter
from loopclinic.probe.report import Report, Snapshot, Stall, Totals
from loopclinic.probe.stall_samples import StallSamples
from loopclinic.probe.undisturbed import undisturbed
from loopclinic.probe.witness import GilWitness

_log = logging.getLogger("loopclinic")
_RAISED = "loopclinic: a callback of a probe raised"

_MOST_STALLS = 1000  # kept; a service that stalls for days must not fill its memory with them
_SAME = 1e-6  # seconds: two starts closer than this are one, told apart only by rounding


class Probe:
    """Measure an event loop: lag, utilization, and the line behind every stall.

    Args:
        loop: the loop to measure; the running one unless given.
        threshold: seconds of busy time in one iteration from which on it is recorded as a stall.
        budget: seconds after which `on_budget` is called, while the loop is still stuck.
        on_budget: called with the `Stall` in progress, once an iteration, on the probe's own
            thread (keep it short, the probe does not look meanwhile); unless given, a warning is
            logged to the logger `loopclinic`.
        witness: name the line also while a call keeps the GIL, be it another thread's, with the help
            of a small process beside this one that reads this one's memory (Linux, CPython 3.11 to
            3.15 with a GIL). Where it can't, `witness_error` and the report say why, and the probe
            goes on without; if it was refused on a machine where it should work, a warning is logged.

    While another thread keeps the GIL the loop is stuck even where it rests, for it can't wake: that is
    a stall, too (on Linux, whose scheduler tells it from a busy machine; its length is known to 10 ms).

    Start it by `with`, `async with` or `start()`. A report can be had at any time, from any thread.
    A loop without a selector, such as uvloop's, is measured by a timer every 10 ms: a stall's length
    is then known to about 5 ms, the first after a rest to 20 ms, and utilization not at all.

    Raises:
        ValueError: threshold or budget is not above zero, or `on_budget` comes without a budget.
        RuntimeError: at the start, if no loop is running and none was given.
        UnsupportedLoopError: at the start, if the loop has neither a selector nor timers.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        threshold: float = 0.05,
        budget: float | None = None,
        on_budget: Callable[[Stall], object] | None = None,
        witness: bool = False,
        _clock: Callable[[], float] | None = None,
        _witness: Callable[[], GilWitness] | None = None,
    ) -> None:
        if threshold <= 0 or (budget is not None and budget <= 0):
            raise ValueError("threshold and budget are in seconds and must be above zero.")
        if on_budget is not None and budget is None:
            raise ValueError("on_budget is called when a budget is passed: give Probe(budget=...).")
        self.loop = loop
        self.threshold = threshold
        self.budget = budget
        self.witness = _witness or witness
        self.level = 0.0
        """The meter is to tell of iterations busier than this, in seconds."""
        self._on_budget = on_budget or _warn
        self._clock = _clock
        self._meter: Meter | None = None
        self._first = Totals(0, 0.0, [], [])
        self._lock = Lock()
        self._began = 0.0
        self._worst = 0.0
        self._stalls: deque[Stall] = deque(maxlen=_MOST_STALLS)
        self._report: Report | None = None
        self._over_budget: deque[Stall] = deque(maxlen=_MOST_STALLS)
        self._told = -inf
        self._subscribers = Subscribers()
        self.starts = 0
        """How many times the probe was started."""

    @property
    def running(self) -> bool:
        """Whether the probe is measuring."""
        return self._meter is not None

    def start(self) -> Self:
        """Begin to measure, from zero if the probe ran before.

        Raises:
            RuntimeError: it is running already, or there is no loop to measure, or it is closed.
            UnsupportedLoopError: the loop has neither a selector nor timers.
        """
        if self._meter is not None:
            raise RuntimeError("This probe is running already: stop() it first, or make another.")
        if self.loop is None:
            try:
                self.loop = asyncio.get_running_loop()
            except RuntimeError:
                raise RuntimeError(
                    "No event loop is running here: start the probe inside a coroutine, "
                    "or pass Probe(loop=...)."
                ) from None
        self._worst = 0.0
        self.level = SHORT
        self._stalls.clear()
        self._report = None
        meter = attach(self.loop, self, self._clock)
        self._began = meter.clock()
        self._first = _running(meter, self._began)
        self._told = -inf
        self._meter = meter
        self.starts += 1
        return self

    def halt(self) -> None:
        """Record, on the loop's thread, that the loop stops now: nothing waits until it is run again."""
        if self._meter is not None:
            self._meter.halt()
            self._meter.watchdog.finish_look()  # what ended just now waits to be confirmed

    def resume(self) -> None:
        """Record, on the loop's thread, that a loop which stopped is about to run again."""
        if self._meter is not None:
            self._meter.resume()

    def stop(self) -> Report:
        """Stop measuring, leave the loop as it was found, and return the report."""
        meter = self._meter
        if meter is None:
            return self.report()
        now = meter.clock()
        meter.watchdog.finish_look()
        with self._lock:
            if self._meter is None:  # stopped from another thread meanwhile
                return self.report()
            if meter.age(now) > self.level:
                # The iteration in which the probe is stopped: `with Probe(): time.sleep(1)`.
                began, case = meter.began, meter.case
                ended = min(now, meter.halted)  # a loop that had stopped kept nobody waiting since
                mine = case if case is not None and case.began == began else None
                self.record(began, ended, mine, meter.since(began))
            self._report = report = self._reported(meter, now)
            self._subscribers.clear()
            self._meter = None
        detach(meter, self)
        return report

    def report(self) -> Report:
        """Return what was found so far; once stopped, always the same report.

        Raises:
            RuntimeError: the probe was never started.
        """
        if self._report is not None:
            return self._report
        if self._meter is None:
            raise RuntimeError("This probe was never started: use 'with Probe() as probe:'.")
        return self._reported(self._meter, self._meter.clock())

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """The stalls that have ended, the latest last."""
        return tuple(self._stalls)

    @property
    def iterations(self) -> int:
        """How many iterations the loop went through so far; for one without a selector, beats."""
        return self._meter.iterations - self._first.iterations if self._meter is not None else 0

    @property
    def witness_url(self) -> str | None:
        """Where a browser can hear which line keeps the GIL (server-sent events), or None."""
        return self._meter.watchdog.witness_url if self._meter is not None else None

    @property
    def witness_error(self) -> str | None:
        """Why calls that keep the GIL are named only when they end, None if `witness` works or is off.

        Known a moment after the start; a stopped probe keeps the reason.
        """
        if self._meter is not None and self.witness:
            return self._meter.watchdog.witness_error
        return self._report.witness_error if self._report is not None else None

    def current(self) -> Stall | None:
        """Return the stall in progress, with its seconds so far, or None if the loop is well."""
        meter = self._meter
        if meter is None:
            return None
        began = max(meter.began, self._began)
        case = meter.case
        now = min(meter.clock(), meter.halted)
        if began == inf or now - began < self.threshold:
            return None
        mine = case if case and case.began == meter.began else None
        return self._stall(began, now, mine, meter.since(began))

    def snapshot(self) -> Snapshot:
        """Return the running totals; cheap, from any thread.

        Raises:
            RuntimeError: the probe is not running.
        """
        meter = self._meter
        if meter is None:
            raise RuntimeError("This probe is not running: start() it before taking snapshots.")
        now = meter.clock()
        totals = _running(meter, now).less(self._first)
        at = now - self._began
        age = min(meter.age(now), at)
        counts, sums = tuple(totals.counts), tuple(totals.sums)
        return Snapshot(at, totals.iterations, totals.idle, age, counts, sums, totals.exact)

    def census(self) -> Census:
        """Return how many tasks and threads there are; above 2,000 tasks roughly."""
        return census_of(self.loop)

    def subscribe(self, callback: Callable[[], object], every: float = 0.1) -> Callable[[], None]:
        """Call `callback` every so many seconds on the probe's own thread, also during a stall.

        Returns:
            A function that ends the subscription. One whose callback raises is ended and logged.
        """
        return self._subscribers.add(callback, every)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(self, *_: object) -> None:
        # loopclinic: ignore[blocking-file-io] it reads /proc, not a disk
        self.stop()

    # What the meter asks of a sink.

    @property
    def pace(self) -> float:
        """How often a subscriber wants to be called at least, in seconds."""
        return self._subscribers.pace

    def record(self, began: float, ended: float, case: StallSamples | None, since: float) -> None:
        """Record an iteration that was busy from `began` to `ended` (on the meter's clock).

        The loop has not rested `since` then.
        """
        began = max(began, self._began)
        busy = ended - began
        self._worst = max(self._worst, busy)
        self.level = min(max(self._worst, SHORT), self.threshold)
        if busy >= self.threshold:
            error = undisturbed(partial(self._record_stall, began, ended, case, since))
            if error is not None:
                raise error

    def complete(self, case: StallSamples) -> None:
        """Complete a stall with samples that were read only after it had ended."""
        at = case.last - self._began
        for index in range(len(self._stalls) - 1, -1, -1):
            stall = self._stalls[index]
            if stall.started <= at <= stall.started + stall.seconds:
                began = self._began + stall.started
                whole = case.began <= began + _SAME  # and not one stack by itself
                if whole or (stall.file is None and not stall.lines):
                    ended = began + stall.seconds
                    found = findings(case, began, ended, self.threshold, stall.heartbeat)
                    if not case.seen and case.kept is None:  # it may not undo what samples told
                        found = {name: found[name] for name in found if not getattr(stall, name)}
                    self._stalls[index] = replace(stall, **found)
                return

    def tick(self, now: float) -> None:
        """Call the callbacks that are due, on the watchdog's thread."""
        if self._meter is None:
            return  # it was stopped meanwhile
        if self.budget is not None:
            stall = self.current()
            if stall is not None and stall.seconds >= self.budget:
                began = self._began + stall.started
                if began > self._told + _SAME:
                    self._told = began
                    self._over_budget.append(stall)
            while self._over_budget:
                stall = self._over_budget.popleft()
                amended = (one for one in self._stalls if one.started == stall.started)
                try:
                    self._on_budget(next(amended, stall))
                except Exception:
                    _log.exception(_RAISED)
        self._subscribers.call(now)

    def _record_stall(
        self, began: float, ended: float, case: StallSamples | None, since: float
    ) -> None:
        stall = self._stall(began, ended, case, since)
        self._stalls.append(stall)
        if self.budget is not None and stall.seconds >= self.budget and began > self._told + _SAME:
            self._told = began
            self._over_budget.append(stall)

    def _stall(self, began: float, ended: float, case: StallSamples | None, since: float) -> Stall:
        heartbeat = ended - min(began, max(since, self._began))
        found = findings(case, began, ended, self.threshold, heartbeat)
        return Stall(began - self._began, ended - began, heartbeat=heartbeat, **found)

    def _reported(self, meter: Meter, now: float) -> Report:
        seconds = max(now - self._began, 1e-9)
        age = min(meter.age(now), seconds)
        totals = _running(meter, now).less(self._first)
        span = totals.span(seconds, age, max(self._worst, age))
        error = meter.watchdog.witness_error if self.witness else None
        return Report(span.seconds, span.iterations, span.utilization, span.lag, self.stalls, error)


def _running(meter: Meter, now: float) -> Totals:
    idle = meter.idle_at(now)
    return Totals(meter.iterations, idle, meter.counts[:], meter.sums[:], meter.exact)


def _warn(stall: Stall) -> None:
    _log.warning("the event loop has been stuck for %s", stall)


class Subscribers:
    """Callbacks called on the watchdog's thread, each at its own pace; any thread may add and remove them."""

    def __init__(self) -> None:
        self._paces: dict[object, tuple[Callable[[], object], float]] = {}
        self._called: dict[object, float] = {}

    @property
    def pace(self) -> float:
        """The shortest period among them in seconds, infinity if there are none."""
        return min((every for _, every in list(self._paces.values())), default=inf)

    def add(self, callback: Callable[[], object], every: float) -> Callable[[], None]:
        """Call `callback` every so many seconds; return a function that removes it."""
        key = object()
        self._paces[key] = callback, every
        return lambda: self._remove(key)

    def call(self, now: float) -> None:
        """Call the callbacks that are due; one that raises is logged and removed."""
        for key, (callback, every) in list(self._paces.items()):
            if now - self._called.get(key, -inf) >= every:
                self._called[key] = now
                try:
                    callback()
                except Exception:
                    if key in self._paces:  # else its probe was stopped under it
                        _log.exception(_RAISED)
                    self._remove(key)

    def clear(self) -> None:
        """Remove them all."""
        self._paces.clear()
        self._called.clear()

    def _remove(self, key: object) -> None:
        self._paces.pop(key, None)
        self._called.pop(key, None)
