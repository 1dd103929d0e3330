"""Measures how late the watchdog thread wakes, and decides whether it lacked the GIL or a processor."""

import sys
from collections.abc import Callable
from math import inf

from loopclinic.probe.gil_holder import STARVED
from loopclinic.probe.schedule import Schedule
from loopclinic.probe.stall_samples import StallSamples

REFRESH = 0.1  # seconds: reading a file releases the GIL, and getting it again is what costs
_LATE = 4  # intervals between looks, from which on there was a reason
_WAKES = 4  # of who waits for the GIL; who waits for a processor alone has none
_BUSY = 12  # times as long as an idle machine takes for a waking, on a busy one
_OWN = 2  # turns that a look takes: it wakes, and may meet a busy loop once


class Lateness:
    """Measures how late one watchdog looks, and why. `beat` is called after each call that releases the GIL."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._schedule = Schedule()
        self._looked = inf
        self._left = inf  # since when the watchdog is at something else
        self._away = 0.0  # seconds that it was, since the last look
        self._ran = self._waited = 0.0  # until now; the latter for a processor
        self._due = 0.0  # when to read these again
        self._turns = 0  # how often it was given one until then
        self._looks = 0.0  # of its own since then
        self.begun = self.over = inf
        """From when to when the GIL was last not to be had."""
        self.surely = False
        """The GIL, and no processor, was what lacked then."""
        self.asked = False
        """The kernel saw the watchdog wake and wait all the while, as who asks for the GIL does."""
        self.wanted = inf, inf
        """From when to when it was last seen to ask for the GIL in vain, however busy the machine."""
        self.stood = False
        """It saw neither that nor a wait for a processor: the last look was late by the whole machine."""

    def follow(self, thread: int) -> None:
        """Measure the lateness of this native thread from now on (0: of none)."""
        if thread:
            self._schedule.follow(thread)
        else:
            self._schedule.close()

    def pause(self, now: float) -> None:
        """Record that from `now` on the watchdog does what may last, such as a subscriber's callback."""
        self._left = now

    def resume(self, now: float) -> None:
        """Record that this ended at `now`."""
        self._away, self._left = self._away + now - self._left, inf

    def skip(self, now: float) -> None:
        """Record a look at `now` that was in time."""
        self._looked = now
        self._looks += 1 / _OWN  # it meets no busy loop

    def look(self, now: float, wait: float, interval: float, *, why: bool = False) -> float:
        """Return by how many seconds this look comes too late, which was due `wait` after the last.

        `why` asks for the reason also where it is late by little.
        """
        late, self._looked = now - self._looked - wait, now
        away, self._away = self._away + max(0.0, now - self._left), 0.0
        self._left = max(self._left, now)
        self._looks += 1
        self.stood = False
        if late > _LATE * interval or now > self._due or why:
            ran, waited, turns = self._schedule.read()
            self._beat()
            worked, self._ran = ran - self._ran, ran
            free, self._waited, self._due = waited - self._waited, waited, now + REFRESH
            asked, self._turns = turns - self._turns - _OWN * self._looks, turns
            self._looks = 0.0
            starved = free > late / 2
            # Who wants the GIL wakes to ask for it again and again. A machine that stood still, as a
            # virtual one does when its host has no time for it, has woken nobody.
            waking = asked * sys.getswitchinterval()
            # Each waking on a busy machine may cost a wait for a processor, too.
            if (
                late > _LATE * interval
                and asked >= _WAKES
                and waking > late / _BUSY
                and _gil_enabled()
            ):
                self.wanted = now - late, now
            asked = waking > late / 4
            surely = not starved and (asked or not turns)
            # Nor may it have been at something of its own: it may stand still in the middle of a look.
            unexplained = late - worked - free - away
            self.stood = (
                not starved
                and not surely
                and self.wanted[1] != now
                and unexplained > max(interval, late / 2)
            )
            kept = surely or (starved and late > STARVED)
            if kept and late > _LATE * interval and _gil_enabled():
                self.begun, self.over, self.surely, self.asked = now - late, now, surely, asked
        return late

    def surely_until(self, now: float) -> bool:
        """Return whether it was surely the GIL that could not be had until `now`, and no processor."""
        return self.surely and self.over == now

    def mark(self, case: StallSamples) -> None:
        """Record that the GIL could not be had during this iteration."""
        case.gil_likely = True
        case.gil_held = case.gil_held or self.surely


def _gil_enabled() -> bool:
    """Return whether this interpreter has a GIL just now: a free-threaded one may be without."""
    asked: Callable[[], bool] | None = getattr(sys, "_is_gil_enabled", None)
    return asked is None or asked()
