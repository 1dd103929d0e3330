"""The probe: measures one event loop from within its own process."""

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Any, NamedTuple, Self

from loopclinic.probe.diagnosis import looks_like
from loopclinic.probe.histogram import BUCKETS, SHORT, bucket, lag_of
from loopclinic.probe.meter import Meter, attach, detach
from loopclinic.probe.report import Report, Span, Stall
from loopclinic.probe.stack import Sample, cell_label
from loopclinic.probe.watchdog import Case
from loopclinic.probe.witness import Witness

__all__ = ["Census", "Probe", "Snapshot"]

_log = logging.getLogger("loopclinic")

_MOST_STALLS = 1000  # kept; a service that stalls for days must not fill its memory with them
_SAME = 1e-6  # seconds: two starts closer than this are one, told apart only by rounding
_MANY_TASKS = 2000  # from here on tasks are counted roughly: listing them would itself be a stall


class _Totals(NamedTuple):
    iterations: int
    idle: float
    counts: list[int]
    sums: list[float]

    def span(self, seconds: float, age: float, worst: float) -> Span:
        """Return the span, with the unfinished iteration of `age` seconds counted in."""
        counts, sums = self.counts[:], self.sums[:]
        # The meter books longer iterations only: the rest of the busy time is the short ones'.
        short = self.iterations - sum(counts)
        rest = seconds - self.idle - sum(sums) - age
        utilization = min(1.0, max(0.0, 1 - self.idle / seconds))
        for number, busy in ((short, rest), (1, age)):
            if number > 0 and busy > 0:
                index = bucket(busy / number)
                counts[index] += number
                sums[index] += busy
        return Span(seconds, self.iterations, utilization, lag_of(counts, sums, seconds, worst))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A probe's running totals at one moment; subtract two by `later.since(earlier)`."""

    at: float
    """Seconds since the probe began."""
    iterations: int
    idle: float
    age: float
    """Seconds that the iteration in progress has lasted, 0 while the loop waits for events."""
    counts: tuple[int, ...]
    sums: tuple[float, ...]

    def since(self, earlier: "Snapshot") -> Span:
        """Return what happened between `earlier` and this one.

        The iteration in progress counts with its age. `lag.max` is exact to about 6 %; below
        0.25 ms it is an upper bound.
        """
        seconds = max(self.at - earlier.at, 1e-9)
        counts = [now - then for now, then in zip(self.counts, earlier.counts, strict=True)]
        sums = [now - then for now, then in zip(self.sums, earlier.sums, strict=True)]
        age = min(self.age, seconds)
        means = (sums[i] / counts[i] for i in range(BUCKETS - 1, -1, -1) if counts[i])
        worst = max(next(means, 0.0), age)
        if not worst and self.iterations > earlier.iterations:
            worst = min(SHORT, max(0.0, seconds - (self.idle - earlier.idle)))
        iterations, idle = self.iterations - earlier.iterations, self.idle - earlier.idle
        return _Totals(iterations, idle, counts, sums).span(seconds, age, worst)


@dataclass(frozen=True, slots=True)
class Census:
    """What lives beside the loop: its tasks, its default executor, the threads of the process."""

    tasks: int
    executor_threads: int
    """Threads that the default executor has started."""
    executor_busy: int
    """Of these, how many are at work."""
    executor_queued: int
    """Calls that wait for a thread."""
    executor_workers: int
    """The most threads it will start."""
    threads: int


class Probe:
    """Measure an event loop: lag, utilization, and the line behind every stall.

    Args:
        loop: the loop to measure; the running one unless given.
        threshold: seconds of busy time in one iteration from which on it is recorded as a stall.
        budget: seconds after which `on_budget` is called, while the loop is still stuck.
        on_budget: called with the `Stall` in progress, once an iteration, on the probe's own
            thread (keep it short, the probe does not look meanwhile); unless given, a warning is
            logged to the logger `loopclinic`.
        witness: name the line also while a call keeps the GIL, with the help of a small process
            beside this one (Linux on x86-64 and arm64; elsewhere it changes nothing). Uses the
            highest real-time signal that has no handler.

    Start it by `with`, `async with` or `start()`. A report can be had at any time, from any thread.

    Raises:
        ValueError: threshold or budget is not above zero, or `on_budget` comes without a budget.
        RuntimeError: at the start, if no loop is running and none was given.
        UnsupportedLoopError: at the start, if the loop has no selector.
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
    ) -> None:
        if threshold <= 0 or (budget is not None and budget <= 0):
            raise ValueError("threshold and budget are in seconds and must be above zero.")
        if on_budget is not None and budget is None:
            raise ValueError("on_budget is called when a budget is passed: give Probe(budget=...).")
        self.loop = loop
        self.threshold = threshold
        self.budget = budget
        self.witness = witness and Witness.available()
        self.level = 0.0
        self._on_budget = on_budget or _warn
        self._clock = _clock
        self._meter: Meter | None = None
        self._first = _Totals(0, 0.0, [], [])
        self._began = 0.0
        self._worst = 0.0
        self._stalls: deque[Stall] = deque(maxlen=_MOST_STALLS)
        self._report: Report | None = None
        self._over_budget: deque[Stall] = deque(maxlen=_MOST_STALLS)
        self._told = -inf
        self._subscribers: dict[object, list[Any]] = {}

    @property
    def running(self) -> bool:
        """Whether the probe is measuring."""
        return self._meter is not None

    def start(self) -> Self:
        """Begin to measure, from zero if the probe ran before.

        Raises:
            RuntimeError: it is running already, or there is no loop to measure.
            UnsupportedLoopError: the loop has no selector.
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
        idle = self._idle(meter, self._began)
        self._first = _Totals(meter.iterations, idle, meter.counts[:], meter.sums[:])
        self._told = -inf
        self._meter = meter
        return self

    def stop(self) -> Report:
        """Stop measuring, leave the loop as it was found, and return the report."""
        meter = self._meter
        if meter is None:
            return self.report()
        now = meter.clock()
        began = meter.began
        if began < inf and now - began > self.level:
            # The iteration in which the probe is stopped: `with Probe(): time.sleep(1)`.
            case = meter.case
            self.hear(began, now, case if case is not None and case.began == began else None)
        self._report = self._reported(meter, now)
        self._meter = None
        self._subscribers.clear()
        detach(meter, self)
        return self._report

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
    def witness_url(self) -> str | None:
        """Where a browser can hear which line keeps the GIL (server-sent events), or None."""
        return self._meter.watchdog.witness_url if self._meter is not None else None

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
        return self._stall(began, now, case if case and case.began == meter.began else None)

    def snapshot(self) -> Snapshot:
        """Return the running totals; cheap, from any thread.

        Raises:
            RuntimeError: the probe is not running.
        """
        meter = self._meter
        if meter is None:
            raise RuntimeError("This probe is not running: start() it before taking snapshots.")
        now = meter.clock()
        totals = self._totals(meter, now)
        at = now - self._began
        age = min(meter.age(now), at)
        counts, sums = tuple(totals.counts), tuple(totals.sums)
        return Snapshot(at, totals.iterations, totals.idle, age, counts, sums)

    def census(self) -> Census:
        """Return how many tasks and threads there are; above 2,000 tasks roughly."""
        # ThreadPoolExecutor tells nothing of itself in public.
        executor = getattr(self.loop, "_default_executor", None)
        started = len(getattr(executor, "_threads", ()))
        idle = getattr(getattr(executor, "_idle_semaphore", None), "_value", 0)
        queue = getattr(executor, "_work_queue", None)
        return Census(
            tasks=_count_tasks(self.loop),
            executor_threads=started,
            executor_busy=max(0, started - idle),
            executor_queued=queue.qsize() if queue is not None else 0,
            executor_workers=getattr(executor, "_max_workers", min(32, (os.cpu_count() or 1) + 4)),
            threads=threading.active_count(),
        )

    def subscribe(self, callback: Callable[[], object], every: float = 0.1) -> Callable[[], None]:
        """Call `callback` every so many seconds on the probe's own thread, also during a stall.

        Returns:
            A function that ends the subscription. One whose callback raises is ended and logged.
        """
        key = object()
        self._subscribers[key] = [callback, every, -inf]

        def unsubscribe() -> None:
            self._subscribers.pop(key, None)

        return unsubscribe

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    # What the meter asks of a sink.

    def hear(self, began: float, ended: float, case: Case | None) -> None:
        """Take an iteration that was busy from `began` to `ended` (on the meter's clock)."""
        began = max(began, self._began)
        busy = ended - began
        self._worst = max(self._worst, busy)
        self.level = min(max(self._worst, SHORT), self.threshold)
        if busy < self.threshold:
            return
        stall = self._stall(began, ended, case)
        self._stalls.append(stall)
        if self.budget is not None and busy >= self.budget and began > self._told + _SAME:
            self._told = began
            self._over_budget.append(stall)

    def amend(self, at: float, found: Sample) -> None:
        """Name the line of a recent stall that nobody inside the process could see."""
        at -= self._began
        for index in range(len(self._stalls) - 1, -1, -1):
            stall = self._stalls[index]
            if stall.started <= at <= stall.started + stall.seconds:
                if stall.file is None:
                    named = _named(found) | {"gil_held": True, "first_seen": at - stall.started}
                    self._stalls[index] = replace(stall, **named)
                return

    def tick(self, now: float) -> None:
        """Call back whoever is due, on the watchdog's thread."""
        if self.budget is not None:
            stall = self.current()
            if stall is not None and stall.seconds >= self.budget:
                began = self._began + stall.started
                if began > self._told + _SAME:
                    self._told = began
                    self._over_budget.append(stall)
            while self._over_budget:
                self._call(self._on_budget, self._over_budget.popleft())
        for key, entry in list(self._subscribers.items()):
            callback, every, last = entry
            if now - last >= every:
                entry[2] = now
                if not self._call(callback):
                    self._subscribers.pop(key, None)

    @staticmethod
    def _call(callback: Callable[..., object], *arguments: object) -> bool:
        try:
            callback(*arguments)
        except Exception:
            _log.exception("loopclinic: a callback of a probe raised")
            return False
        return True

    def _stall(self, began: float, ended: float, case: Case | None) -> Stall:
        found = case.guilty if case is not None else None
        started, seconds = began - self._began, ended - began
        if case is None or found is None:
            return Stall(started, seconds)
        return Stall(
            started, seconds, gil_held=case.gil_held, first_seen=case.first_seen, **_named(found)
        )

    def _reported(self, meter: Meter, now: float) -> Report:
        seconds = max(now - self._began, 1e-9)
        age = min(meter.age(now), seconds)
        span = self._totals(meter, now).span(seconds, age, max(self._worst, age))
        return Report(span.seconds, span.iterations, span.utilization, span.lag, self.stalls)

    def _totals(self, meter: Meter, now: float) -> _Totals:
        first = self._first
        return _Totals(
            meter.iterations - first.iterations,
            self._idle(meter, now) - first.idle,
            [total - before for total, before in zip(meter.counts, first.counts, strict=True)],
            [total - before for total, before in zip(meter.sums, first.sums, strict=True)],
        )

    @staticmethod
    def _idle(meter: Meter, now: float) -> float:
        if meter.halted < now:
            return meter.idle + now - meter.halted
        return meter.idle + (now - meter.waiting if meter.began == inf else 0.0)


def _named(found: Sample) -> dict[str, Any]:
    """Return the fields of a stall that a stack tells."""
    stack = found.stack()
    frame = stack[found.guilty]
    return {
        "file": frame.file,
        "line": frame.line,
        "function": frame.function,
        "code": frame.code,
        "stack": stack,
        "cell": cell_label(frame.file),
        "synchronous_cell": found.synchronous_cell,
        "conflict": looks_like(stack, found.guilty),
    }


def _warn(stall: Stall) -> None:
    _log.warning("the event loop has been stuck for %s", stall)


def _count_tasks(loop: asyncio.AbstractEventLoop | None) -> int:
    # CPython up to 3.13 keeps tasks in a WeakSet whose length is free; all_tasks() walks it.
    known = getattr(asyncio.tasks, "_scheduled_tasks", getattr(asyncio.tasks, "_all_tasks", ()))
    if len(known) > _MANY_TASKS:
        return len(known)
    try:
        return len(asyncio.all_tasks(loop)) if loop is not None else 0
    except RuntimeError:  # the set changed under us too often
        return len(known)
