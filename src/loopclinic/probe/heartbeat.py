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

if TYPE_CHECKING:
    from loopclinic.probe.case import Case

__all__ = ["HeartbeatMeter"]

_PERIOD = 0.01  # seconds between beats, unless a threshold is so low that it takes more of them
_SLACK = 0.0015  # seconds: libuv's timers count whole milliseconds


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
    """

    __slots__ = ("_base", "_handle", "_last", "_live", "_wait", "unseen")

    exact = False

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        super().__init__(loop, clock)
        self._handle: asyncio.Handle | None = None
        self._base = 0
        self._live = False
        self._last = inf
        self._wait = _PERIOD
        self.unseen: deque[tuple[float, float, Case | None]] = deque(maxlen=64)

    def install(self) -> None:
        """Start the timer, from any thread; it beats while the loop runs."""
        self._live = True
        self.began = inf
        self.loop.call_soon_threadsafe(self._beat)

    def remove(self) -> None:
        """Stop the timer: at once on the loop's own thread, else as soon as it turns."""
        self._live = False
        handle, self._handle = self._handle, None
        if handle is None:
            return
        if threading.get_ident() == self.thread_id:
            handle.cancel()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self.loop.call_soon_threadsafe(handle.cancel)

    def age(self, now: float) -> float:
        """Return for how long the loop has been stuck, 0 until the beat is overdue."""
        age = super().age(now)
        return age if age > self._wait / 2 + _SLACK else 0.0

    def idle_at(self, now: float) -> float:
        """Return the idle seconds until `now`: whatever was not found to be busy."""
        if self._last == inf:
            return self.idle
        return self.idle + max(0.0, min(now, self.began) - self._last)

    def bare(self, frame: FrameType | None) -> bool:
        """Whether this frame is the one that runs the loop: no callback is below it."""
        return id(frame) == self._base

    def rested(self, began: float, since: float, now: float) -> None:
        """Take that what `began` then was over by `since`, though the timer is overdue.

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

    def confirm(self, now: float, looked: float, *, stood: bool) -> None:
        """Book what the watchdog has not seen, unless the machine stood still."""
        if stood and self.began < now and not self._seen(self.began, looked):
            self.began = now
        # Else what has ended since is for the next look: this one may have been held up in between.
        while self.unseen and (stood or self.unseen[0][1] <= now):
            began, ended, case = self.unseen.popleft()
            if stood:
                self.idle += ended - began
            else:
                self._tell(began, ended, case)

    def _seen(self, began: float, looked: float) -> bool:
        """Whether what began then was seen in a callback at that look, or before."""
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
        self._wait = min(_PERIOD, threshold / 4)
        self.began = now + self._wait / 2
        self._handle = self.loop.call_later(self._wait, self._beat)

    def _book(self, now: float) -> None:
        due = self._last + self._wait
        ended = min(now, self.halted)  # a loop that was stopped keeps nobody waiting
        late = ended - due
        busy = late + min(late, self._wait / 2) if late > _SLACK else 0.0
        began = min(ended, max(self.began, ended - busy))
        self.idle += now - self._last - (ended - began)
        if ended - began > self.level and not self._seen(self.began, self.watchdog.looked):
            self.unseen.append((began, ended, self._case(ended)))
        elif ended > began:
            self.book(began, ended)
