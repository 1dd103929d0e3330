"""The measuring wrap around one loop's selector, shared by all probes on that loop."""

import asyncio
import selectors
import threading
from collections.abc import Callable, Collection
from math import inf
from time import perf_counter
from types import FrameType
from typing import Any, Protocol

from loopclinic.probe.case import Case
from loopclinic.probe.histogram import BUCKETS, SHORT, bucket
from loopclinic.probe.watchdog import Watchdog
from loopclinic.probe.witness import GilWitness

__all__ = ["Clock", "Meter", "Sink", "UnsupportedLoopError"]

_FEW = 4  # iterations in which what comes together when a loop wakes is done

Clock = Callable[[], float]


class UnsupportedLoopError(RuntimeError):
    """The loop has nothing to measure by; the message names a loop that has."""


class Sink(Protocol):
    """One probe's share of what a meter finds."""

    level: float
    """The sink wants to hear of iterations busier than this, in seconds."""
    threshold: float
    budget: float | None
    witness: bool | Callable[[], GilWitness]
    """Whether stacks are wanted also while the GIL is held, or what makes a witness."""

    @property
    def pace(self) -> float:
        """How often it wants a tick at least, in seconds."""

    def amend(self, case: Case) -> None:
        """Take what was found of an iteration that has ended since."""

    def hear(self, began: float, ended: float, case: Case | None, since: float) -> None:
        """Take an iteration that was busy from `began` to `ended`, on the loop's thread.

        The loop has not rested `since` then, as far as a timer's coroutine is concerned.
        """

    def tick(self, now: float) -> None:
        """Do what is due, on the watchdog's thread."""


class Meter:
    """Busy and idle time of one loop, by two clock reads an iteration.

    From one `select` returning to the next being called the loop is busy, and an event that becomes
    ready meanwhile has to wait for the rest of it. A `select` that does not wait counts as busy.
    """

    __slots__ = (
        "__weakref__",
        "_earlier",
        "_ended",
        "_found",
        "_ours",
        "_retire",
        "_selector",
        "_starts",
        "began",
        "case",
        "clock",
        "counts",
        "halted",
        "idle",
        "iterations",
        "level",
        "loop",
        "sinks",
        "sums",
        "thread_id",
        "waiting",
        "watchdog",
    )

    exact = True
    """Whether idle time is measured, and not made up."""
    unseen: Collection[tuple[float, float, Case | None]] = ()
    """Busy times, from when to when, that wait to be confirmed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock = perf_counter) -> None:
        self._selector: Any = getattr(loop, "_selector", None)
        self._found: Callable[..., Any] = _nothing
        self._ours: Callable[..., Any] = _nothing
        self._retire: Callable[[], None] = _nothing
        self.loop = loop
        self.clock = clock
        self.counts = [0] * BUCKETS
        self.sums = [0.0] * BUCKETS
        self.idle = 0.0
        self.iterations = 0
        self.level = inf
        self.sinks: tuple[Sink, ...] = ()
        self.began = clock()
        """When the iteration in progress began; infinity while the loop waits in `select`."""
        self.waiting = self.began
        self.halted = inf
        """When the loop was seen not to run at all: nothing waits for a loop that was stopped."""
        self.case: Case | None = None
        self._ended = -inf  # the last iteration that was not a short one
        self._earlier = -inf  # and the one before it
        self._starts = (inf, inf)  # and when it began, after the one right before it
        self.thread_id = threading.get_ident()
        self.watchdog = Watchdog(self)

    def install(self) -> None:
        """Put the wrap around the selector."""
        self._found = self._selector.select
        self._ours, self._retire = _timed(self, self._found, _poll_of(self._selector))
        self._selector.select = self._ours

    def remove(self) -> None:
        """Leave the selector as it was found."""
        if self._selector.__dict__.get("select") is self._ours:
            inherited = getattr(self._found, "__self__", None) is self._selector
            if inherited:
                del self._selector.select  # the class's own method shows through again
            else:
                self._selector.select = self._found
        # Where somebody wrapped the selector after us, our wrap has to stay: it only passes on.
        self._retire()

    def join(self, sink: Sink) -> None:
        """Let one more probe hear of this loop."""
        self.sinks = (*self.sinks, sink)
        self.relevel()
        self.watchdog.update_threshold()

    def leave(self, sink: Sink) -> None:
        """Take a probe off; with the last one the wrap goes too."""
        self.sinks = tuple(other for other in self.sinks if other is not sink)
        self.relevel()
        self.watchdog.update_threshold()

    def relevel(self) -> None:
        """Recompute the busy time from which on a sink wants to hear of an iteration."""
        self.level = min((sink.level for sink in self.sinks), default=inf)

    def close(self, ended: float) -> None:
        """Book an iteration that was not a short one, and hand it to the sinks that ask for it."""
        began = self.began
        if self.halted < ended:
            # The loop had stopped (run_until_complete came back) and runs again only now.
            self.idle += ended - self.halted
            ended, self.halted = max(began, self.halted), inf
        self.book(began, ended)

    def book(self, began: float, ended: float) -> None:
        """Count a busy time, and hand it to the sinks that ask for it."""
        busy = ended - began
        self._count(busy)
        since = self.since(began)
        self._starts = (began if since == began else self._starts[1], began)
        self._earlier, self._ended = self._ended, ended
        if busy <= self.level:
            return
        case = self._case(ended)
        for sink in self.sinks:
            if busy > sink.level:
                sink.hear(began, ended, case, since)
        self.relevel()

    def bare(self, frame: FrameType | None) -> bool:  # noqa: ARG002 - for meters without a selector
        """Whether a stack that ends in this frame is of a loop between callbacks, as far as is known."""
        return False

    def rested(self, began: float, since: float, now: float) -> None:
        """Record that the iteration which began at `began` ended by `since`; a selector tells that itself."""

    def confirm(self, now: float, looked: float, *, stood: bool) -> None:
        """Take whether the machine `stood` still since the watchdog has `looked` before, until now."""

    def _count(self, busy: float) -> None:
        if busy > SHORT:
            index = bucket(busy)
            self.counts[index] += 1
            self.sums[index] += busy

    def _case(self, ended: float) -> Case | None:
        """Return what was gathered on the iteration that ends now."""
        case = self.case
        if case is None or case.began != self.began:
            return None
        case.ended = ended
        return case

    def asleep(self, since: float, now: float, turns: int) -> tuple[float, float]:
        """Return from when to when the loop rested in one `select`, of the time since `since`.

        `turns` is how many iterations began meanwhile. Of a loop that turned often it is not known.
        """
        if self.began < inf:
            since, woke = max(since, self.waiting), self.began
        elif self.waiting <= since:
            woke = now
        elif self.waiting - since < now - self.waiting:
            return self.waiting, now
        else:
            woke = self.waiting if turns <= _FEW else since
        if self._ended > since:
            since, woke = max(since, self._earlier), min(woke, self._starts[1])
        return since, max(since, woke)

    def oversleep(self, case: Case) -> None:
        """Book a time in which the loop could not have left its `select`; from any thread.

        Whatever became ready meanwhile had to wait, as for a busy loop.
        """
        self.idle -= case.ended - case.began
        self._tell(case.began, case.ended, case)

    def _tell(self, began: float, ended: float, case: Case | None) -> None:
        busy = ended - began
        self._count(busy)
        for sink in self.sinks:
            if busy > sink.level:
                sink.hear(began, ended, case, began)
        self.relevel()

    def since(self, began: float) -> float:
        """Return since when the loop has not rested before an iteration that began then.

        Three iterations are counted at most: a timer that falls due in the first has its callback in
        the second, and the coroutine that waits for it goes on in the third.
        """
        return self._starts[0] if began - self._ended < SHORT else began

    def age(self, now: float) -> float:
        """Return how long the iteration in progress has lasted, 0 while the loop waits."""
        began = self.began
        return max(0.0, min(now, self.halted) - began) if began < inf else 0.0

    def idle_at(self, now: float) -> float:
        """Return the idle seconds until `now`, with those of the wait in progress."""
        if self.halted < now:
            return self.idle + now - self.halted
        return self.idle + (now - self.waiting if self.began == inf else 0.0)


def _nothing(*_: object) -> None:
    return None


def _poll_of(selector: Any) -> Callable[[int, int], list[Any]] | None:
    """Return what a selector asks the kernel by, where that can be asked without it."""
    epoll = getattr(selectors, "EpollSelector", None)
    if type(selector) is not epoll or "select" in vars(selector):
        return None
    poll: Callable[[int, int], list[Any]] = selector._selector.poll  # noqa: SLF001 - it has no name in public
    return poll


def _timed(
    meter: Meter,
    select: Callable[..., Any],
    poll: Callable[[int, int], list[Any]] | None,
) -> tuple[Callable[..., Any], Callable[[], None]]:
    """Return `select` wrapped to add up busy and idle time in `meter`, and what retires the wrap."""
    clock, forever, short = meter.clock, inf, SHORT
    live = True

    def timed(timeout: float | None = None) -> Any:
        # Called once an iteration, so as little as can be: whatever is rare stands in `close`.
        if not live:
            return select(timeout)
        before = clock()
        if before - meter.began > short:
            meter.close(before)
        meter.iterations += 1
        if timeout == 0:
            meter.began = before  # a select that doesn't wait is part of the busy time
            # Most of these find nothing, which the kernel says by itself: that pays for the clock.
            if poll is not None and not (nothing := poll(0, 1)):
                return nothing
            return select(timeout)
        meter.waiting = before
        meter.began = forever
        try:
            return select(timeout)
        finally:
            after = clock()
            meter.idle += after - before
            meter.began = after

    def retire() -> None:
        nonlocal live
        live = False

    return timed, retire
