"""Wraps a loop's selector to time each iteration; shared by all probes on that loop."""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Collection
from math import inf
from types import FrameType
from typing import TYPE_CHECKING, Any

from loopclinic.probe.histogram import BUCKETS, SHORT, bucket
from loopclinic.probe.stall_samples import StallSamples
from loopclinic.probe.undisturbed import caller

if TYPE_CHECKING:
    from loopclinic.probe.probe import Probe
    from loopclinic.probe.watchdog import Watchdog

_RESTS = 32  # kept: those of half a second at least
_REST = 0.02  # seconds in one `select`: what is shorter is no rest that a held GIL made

Clock = Callable[[], float]


class UnsupportedLoopError(RuntimeError):
    """The loop has nothing to measure by; the message names a loop that has."""


class Meter:
    """Busy and idle time of one loop, by two clock reads an iteration.

    From one `select` returning to the next being called the loop is busy, and an event that becomes
    ready meanwhile has to wait for the rest of it. A `select` that does not wait counts as busy.
    """

    __slots__ = (
        *("__weakref__", "_ended", "_found", "_ours", "_retire", "_selector", "_starts", "asleep"),
        *("began", "case", "clock", "counts", "halted", "idle", "iterations", "level", "loop"),
        *("rests", "sinks", "sums", "thread_id", "waiting", "watchdog"),
    )

    exact = True
    """Whether idle time is measured, and not made up."""
    resting: bool = False
    """The loop is known to rest only by looking at it."""
    unseen: Collection[tuple[float, float, StallSamples | None]] = ()
    """Busy times, from when to when, that wait to be confirmed."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, watchdog: "Callable[[Meter], Watchdog]"
    ) -> None:
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
        self.sinks: tuple[Probe, ...] = ()
        self.began = clock()
        """When the iteration in progress began; infinity while the loop waits in `select`."""
        self.waiting = self.began
        self.rests: deque[tuple[float, float]] = deque(maxlen=_RESTS)
        """The latest long waits in `select`, from when to when."""
        self.halted = inf
        """When the loop was seen not to run at all: nothing waits for a loop that was stopped."""
        self.case: StallSamples | None = None
        self.asleep = False
        """Nobody looks until the loop ends its rest: then the watchdog is to be woken."""
        self._ended = -inf  # the last iteration that was not a short one
        self._starts = (inf, -inf)  # when it began, after the one right before it
        self.thread_id = caller().thread
        self.watchdog = watchdog(self)

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

    def join(self, sink: "Probe") -> None:
        """Add a probe that is told of this loop's stalls."""
        self.sinks = (*self.sinks, sink)
        self.relevel()
        self.watchdog.update_threshold()

    def leave(self, sink: "Probe") -> None:
        """Remove a probe."""
        self.sinks = tuple(other for other in self.sinks if other is not sink)
        self.relevel()
        self.watchdog.update_threshold()

    def relevel(self) -> None:
        """Recompute the busy time from which on a sink wants to hear of an iteration."""
        self.level = min((sink.level for sink in self.sinks), default=inf)

    def close(self, ended: float) -> None:
        """Record an iteration that was not a short one, and hand it to the sinks that ask for it."""
        began, now = self.began, ended
        if self.halted < ended:
            # The loop had stopped (run_until_complete came back) and runs again only now.
            self.idle += ended - self.halted
            ended, self.halted = max(began, self.halted), inf
        try:
            self.record_busy(began, ended)
        finally:  # a signal's handler may raise
            self.began = now

    def halt(self) -> None:
        """Record that the loop stops now, on its own thread."""
        if self.halted == inf:
            self.halted = self.clock()

    def resume(self) -> None:
        """Record that the loop, which had stopped, runs from now on; on its own thread."""
        if self.halted < inf:
            now = self.clock()
            if self.began < inf:
                self.close(now)
            self.began, self.halted = now, inf

    def record_busy(self, began: float, ended: float) -> None:
        """Record a busy time, and hand it to the sinks that ask for it."""
        busy = ended - began
        self._count(busy)
        since = self.since(began)
        self._starts = (began if since == began else self._starts[1], began)
        self._ended = ended
        if busy <= self.level:
            return
        case = self._case(ended)
        for sink in self.sinks:
            if busy > sink.level:
                sink.record(began, ended, case, since)
        self.relevel()

    def over(self, began: float, now: float) -> bool:
        """Return whether the iteration that began then had ended by `now`: its end may still be being told."""
        return self._starts[1] == began and self._ended < now

    def between_callbacks(self, frame: FrameType | None) -> bool:  # noqa: ARG002 - for meters without a selector
        """Return whether a stack that ends in this frame is of a loop between callbacks, if known."""
        return False

    def end_iteration(self, began: float, since: float, now: float) -> None:
        """Record that the iteration which began at `began` ended by `since`; a selector tells that itself."""

    def wake(self) -> None:
        """Start the timer again by which a loop without a selector is measured."""

    def confirm(
        self, now: float, looked: float, *, stood: bool, wanted: tuple[float, float]
    ) -> None:
        """Record the busy times in `unseen`, now that the watchdog has looked.

        `stood` says that the whole machine stood still from `looked` until now, `wanted` from when to
        when the GIL was last not to be had.
        """

    def adopt(self, case: StallSamples) -> bool:  # noqa: ARG002 - for meters without a selector
        """Attach samples to their busy time in `unseen`; return whether there is one."""
        return False

    def _count(self, busy: float) -> None:
        if busy > SHORT:
            index = bucket(busy)
            self.counts[index] += 1
            self.sums[index] += busy

    def _case(self, ended: float) -> StallSamples | None:
        """Return what was gathered on the iteration that ends now."""
        case = self.case
        if case is None or case.began != self.began:
            return None
        case.ended = ended
        return case

    def rest_span(self, since: float, now: float) -> tuple[float, float]:
        """Return from when to when the loop waited in one `select`, of the time since `since`.

        The longest such wait; an empty span at `now` if there was none.
        """
        rests = [*self.rests]
        if self.began == inf:
            rests.append((self.waiting, now))
        spans = [(max(began, since), min(ended, now)) for began, ended in rests]
        return max(spans, key=lambda span: span[1] - span[0], default=(now, now))

    def record_blocked_select(self, case: StallSamples) -> None:
        """Book a time in which the loop could not have left its `select`; from any thread.

        Whatever became ready meanwhile had to wait, as for a busy loop.
        """
        self.idle -= case.ended - case.began
        self._tell(case.began, case.ended, case)

    def _tell(self, began: float, ended: float, case: StallSamples | None) -> None:
        busy = ended - began
        self._count(busy)
        for sink in self.sinks:
            if busy > sink.level:
                sink.record(began, ended, case, began)
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
    clock, forever, short, long = meter.clock, inf, SHORT, _REST
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
            if after - before > long:
                meter.rests.append((before, after))
            meter.began = after
            # After that: who falls asleep sets this first, and then looks at `began`.
            if meter.asleep:
                meter.asleep = False
                meter.watchdog.wake(after)

    def retire() -> None:
        nonlocal live
        live = False

    return timed, retire
