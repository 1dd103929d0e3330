"""Measures a loop that has no selector to wrap, such as uvloop's, by a timer that comes late."""

import asyncio
import contextlib
import sys
import threading
from collections import deque
from math import inf
from types import FrameType
from typing import TYPE_CHECKING

from loopclinic.probe.meter import Clock, Meter
from loopclinic.probe.stall_samples import StallSamples
from loopclinic.probe.undisturbed import caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopclinic.probe.watchdog import Watchdog

_PERIOD = 0.01  # seconds between beats, unless a threshold is so low that it takes more of them
_SLACK = 0.0015  # seconds: libuv's timers count whole milliseconds
_CALM = (
    0.05  # share of the time that a loop runs at most which does next to nothing, beats included
)
_LOOKS = 8  # of the watchdog at a calm loop, until its timer stops


class HeartbeatMeter(Meter):
    """Busy time of one loop by the lateness of a timer of its own.

    A beat that is late by more than the timer's grain was held up. What held it up began somewhere
    between the beat before and the moment it was due; the middle is taken, so a stall's length is
    known to half a period. How busy the loop is between beats is unknown, and so is utilization.
    `iterations` counts beats.

    A beat is late also where the machine has no time for the thread, as a virtual one whose host is
    busy. The loop rested then, and is not charged: neither where the watchdog saw it between callbacks,
    waiting for events or for its processor, nor where the watchdog was late itself for no reason
    within the machine.

    To wake a loop that rests is what a beat costs. Where the loop's thread is seen to do next to nothing,
    the timer stops. Then a look of the watchdog that finds the loop at rest stands for a beat, and one
    that does not starts the timer again.
    """

    __slots__ = (
        *("_base", "_due", "_handle", "_last", "_live", "_quiet", "_wait", "resting", "unseen"),
    )

    exact = False

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, watchdog: "Callable[[Meter], Watchdog]"
    ) -> None:
        super().__init__(loop, clock, watchdog)
        self._handle: asyncio.Handle | None = None
        self._base = 0
        self._live = False
        self._last = inf
        self._wait = _PERIOD
        self._due = inf
        self._quiet = 0  # looks in a row
        self.resting = False
        """Whether the timer has stopped."""
        self.unseen: deque[tuple[float, float, StallSamples | None]] = deque(maxlen=64)

    def install(self) -> None:
        """Start the timer, from any thread; it beats while the loop runs.

        What the loop does until the first beat holds it up, too: a loop at rest beats at once.
        """
        self._live, self.resting, self._quiet = True, False, 0
        self._last = self.began = self._due = self.clock()
        self._wait = 0.0
        self.loop.call_soon_threadsafe(self._beat)

    def resume(self) -> None:
        """Record that the loop, which had stopped, runs from now on; on its own thread."""
        if self.halted == inf:
            return
        self._book(self.clock())
        self.halted = inf
        self.install()

    def remove(self) -> None:
        """Stop the timer: at once on the loop's own thread, else as soon as it turns."""
        self._live = False
        handle, self._handle = self._handle, None
        if handle is None:
            return
        if caller().thread == self.thread_id:
            handle.cancel()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self.loop.call_soon_threadsafe(handle.cancel)

    def age(self, now: float) -> float:
        """Return for how long the loop has been stuck, 0 until the beat is overdue."""
        return super().age(now) if now > self._due + _SLACK else 0.0

    def idle_at(self, now: float) -> float:
        """Return the idle seconds until `now`: whatever was not found to be busy."""
        if self._last == inf:
            return self.idle
        return self.idle + max(0.0, min(now, self.began) - self._last)

    def between_callbacks(self, frame: FrameType | None) -> bool:
        """Return whether this frame is the one that runs the loop: no callback is below it."""
        return id(frame) == self._base

    def is_calm(self, ran: float, seconds: float) -> bool:
        """Return whether the loop's thread, which `ran` for so many seconds, did next to nothing.

        After many such looks in a row the timer stops with its next beat.
        """
        calm = ran < _CALM * seconds
        self._quiet = self._quiet + 1 if calm else 0
        return calm

    def expect(self, now: float, wait: float) -> None:
        """Record that the loop rests `now`, and is to be seen again after `wait`: by its beat, or a look."""
        self._wait, self._due = wait, now + wait
        self.began = now + wait / 2

    def wake(self) -> None:
        """Start the timer again, unless the last look found the loop to rest after all."""
        if self.resting and self.began < self._due:
            self.resting, self._quiet = False, 0
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self.loop.call_soon_threadsafe(self._beat)

    def end_iteration(self, began: float, since: float, now: float) -> None:
        """Record that the iteration which began at `began` ended at `since`, though the timer is overdue.

        libuv counts its timers from before the callbacks, and may wait for events after a stall.
        """
        case = self.case
        if self.began != began:
            return
        self.began = now  # at once: the beat may come between any two calls
        if case is not None and case.began == began < since:
            case.ended = since
            self.idle -= since - began
            self._tell(began, since, case)

    def confirm(
        self, now: float, looked: float, *, stood: bool, wanted: tuple[float, float]
    ) -> None:
        """Record busy times that the watchdog has not seen, unless the machine was suspended."""
        if stood and self.began < now and not self._seen(self.began, looked):
            self.began = now
        # Else what has ended since is for the next look: this one may have been held up in between.
        while self.unseen and (stood or self.unseen[0][1] <= now):
            began, ended, case = self.unseen.popleft()
            if stood:
                self.idle += ended - began
            else:
                self._tell(began, ended, case or _held(began, ended, *wanted))

    def adopt(self, case: StallSamples) -> bool:
        """Attach samples to their busy time in `unseen`; return whether there is one."""
        for index, (began, ended, known) in enumerate(self.unseen):
            if known is None and began <= case.last <= ended:
                self.unseen[index] = began, ended, case
                return True
        return False

    def _seen(self, began: float, looked: float) -> bool:
        """Return whether what began then was seen in a callback at that look, or before."""
        case = self.case
        return case is not None and case.began == began and case.called <= looked

    def _beat(self) -> None:
        if not self._live:
            return
        self.thread_id = threading.get_ident()
        # Such a loop has no frame of its own: what calls it back is the frame that runs it.
        self._base = id(sys._getframe(1))  # noqa: SLF001 - the documented way
        now = self.clock()
        if self._last < inf:
            self._book(now)
        self.iterations += 1
        self._last, self.halted = now, inf
        threshold = min((sink.threshold for sink in self.sinks), default=inf)
        self.resting = self._quiet > _LOOKS
        if self._handle is not None:
            self._handle.cancel()  # it was called for by another way
        if self.resting:
            self.expect(now, threshold / 2)
        else:
            self.expect(now, min(_PERIOD, threshold / 4))
            self._handle = self.loop.call_later(self._wait, self._beat)

    def _book(self, now: float) -> None:
        ended = min(now, self.halted)  # a loop that was stopped keeps nobody waiting
        late = ended - self._due
        busy = late + min(late, self._wait / 2) if late > _SLACK else 0.0
        began = min(ended, max(self.began, ended - busy))
        self.idle += now - self._last - (ended - began)
        if ended - began > self.level and not self._seen(self.began, self.watchdog.looked):
            self.unseen.append((began, ended, self._case(ended)))
        elif ended > began:
            self.record_busy(began, ended)


def _held(began: float, ended: float, lost: float, had: float) -> StallSamples | None:
    """Return samples that say that the GIL was held, where it was not to be had for most of the time."""
    if min(ended, had) - max(began, lost) < (ended - began) / 2:
        return None
    case = StallSamples(began)
    case.ended, case.gil_held = ended, True
    return case
