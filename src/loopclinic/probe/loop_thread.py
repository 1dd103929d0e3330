"""The thread that runs a measured loop, as another thread sees it: its work, its rests and its stack."""

import asyncio
import contextlib
import sys
import time
from functools import partial
from itertools import compress, starmap
from math import inf
from operator import call, itemgetter, sub
from typing import TYPE_CHECKING, Any, NamedTuple

from loopclinic.probe.frames import lend, stack_of, standing, top_frame, uncollected
from loopclinic.probe.lateness import REFRESH
from loopclinic.probe.schedule import Schedule, Times, cpu_clock, cpu_time, polls, ready
from loopclinic.probe.witness import native_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from loopclinic.probe.meter import Meter
    from loopclinic.probe.stall_samples import StallSamples

_TICK = 0.012  # seconds: so often the kernel counts, at least, what a thread has run
_MOVING = 64  # innermost frames that may have moved until they are looked at
# Of a loop, as C, from any thread.
_current_task: Any = (
    asyncio.current_task if sys.version_info >= (3, 12) else asyncio.tasks._current_tasks.get  # type: ignore[attr-defined] # noqa: SLF001
)


class Seen(NamedTuple):
    """What was seen of a loop that is stuck in one step of C, during which its thread stood still."""

    at: float
    began: float
    """When the iteration in progress began."""
    task: "asyncio.Task[Any] | None"
    ran: float | None
    """Seconds that the thread had run, None where the kernel does not tell."""
    top: Any
    """Its frame, `Standing`."""


class LoopThread:
    """Follows the thread of one loop. `beat` is called after each call that releases the GIL."""

    def __init__(self, meter: "Meter", beat: "Callable[[], None]") -> None:
        self._meter = meter
        self._beat = beat
        self._schedule = Schedule()
        self._ident = 0
        self.native = 0
        """The thread as the kernel knows it, 0 before it is known."""
        self._before: tuple[float, Times, float] | None = None  # when, work and idle until then
        self._turned = -1  # iterations until then
        self.known: tuple[float, float, float] | None = None
        """When it was last looked at, and how long it had run and rested until then."""
        self.waited = 0.0
        """Seconds for a processor, until its files were last read."""
        self.seen: Seen | None = None
        """What the watchdog saw as soon as it woke, if nobody has asked for it since."""
        # Since when it does nothing, and what it had done until then.
        self._still: tuple[float, Times | None] = (inf, None)

    def follow(self) -> None:
        """Find out which thread runs the loop now."""
        ident = getattr(self._meter.loop, "_thread_id", None) or self._meter.thread_id
        if ident != self._ident:
            self._ident, self.native, self._before = ident, native_id(ident), None
            self.known = self.seen = None
            self._turned = -1

    def close(self) -> None:
        """Close the file that is read."""
        self._schedule.close()

    def see_after(self, wait: "Callable[[], bool]", age: float) -> bool:
        """Wait, and return what that does; see at once where the loop is if its iteration has lasted so long.

        Who wakes may have the GIL for one switch interval only, and where the host of a virtual machine
        watches its memory a few lines of Python take as long: from waking to seeing it is one step of C.
        """
        meter, self.seen = self._meter, None
        first: list[Any] = []
        steps: list[Callable[[], Any]] = [wait, meter.clock, partial(getattr, meter, "began")]
        steps.append(partial(_current_task, meter.loop))
        if self.ran() is not None:
            steps.append(partial(time.clock_gettime, cpu_clock(self.native)))
        stuck = map(age.__le__, starmap(sub, map(itemgetter(1, 2), [first])))
        tops = map(call, compress((sys._current_frames,), stuck))  # noqa: SLF001 - the documented way
        stack = stack_of(map(dict.get, tops, (self._ident,)))
        try:
            found = uncollected(stack, partial(first.extend, map(call, steps)))
        except OSError:  # the thread has ended
            return bool(first[0])
        if found:
            _, at, began, task, *ran = first
            lend([task, *map(itemgetter(1), found)])
            top = standing(found[:_MOVING], found[_MOVING][1] if len(found) > _MOVING else None)
            self.seen = Seen(at, began, task, next(iter(ran), None), top)
        return bool(first[0])

    def frame(self) -> "FrameType | None":
        """Return the frame that it is in now."""
        return top_frame(self._ident)

    def waits(self) -> bool:
        """Return whether it is in no callback, and waits for events."""
        return self._meter.between_callbacks(self.frame()) and polls(self.native)

    def work(self) -> Times | None:
        """Return what the kernel says of it, None if it does not."""
        with contextlib.suppress(OSError):  # the thread is gone
            self._schedule.follow(self.native)
            times = self._schedule.read()
            self.waited = times.waited
            self._beat()
            return times if self._schedule.known else None
        return None

    def ran(self) -> float | None:
        """Return the seconds that it has run, None where the kernel does not tell."""
        return cpu_time(self.native)

    def ran_since(self, now: float, lost: float, ran: float | None = None) -> float:
        """Return for how long it has run since the GIL was asked for, `lost` seconds ago.

        At least: all that the loop was busy for before that counts as work. Infinity where nothing tells.
        `ran` is what it had run by `now`, if that is not now.
        """
        ran = self.ran() if ran is None else ran
        if ran is None:
            return inf
        idle = self._meter.idle_at(now) if self._meter.exact else 0.0
        at, before, rested = self.known or (now, ran, idle)
        self.known = now, ran, idle
        return ran - before - max(0.0, now - lost - at - (idle - rested))

    def rests_since(self, now: float, awake: float, *, kept: bool) -> float | None:
        """Return since when it, in no callback that shows, waits for events or its processor.

        None if it may be at work, infinity if it sleeps in a call of C. It was last seen at something
        else at `awake`. A virtual machine's host that has no time for that processor shows as neither
        work nor wait. So does a thread that waits for the GIL, which another one may just have `kept`.
        """
        since, done = self._still
        work, waits = self.work(), polls(self.native)
        if waits and work is not None:  # it may have come to rest in between
            before, work = work, self.work()
            done = done if work == before else None
        still = work is not None and work == done
        if not still:
            self._still = (now, work)
        if waits:
            return since if still else (awake + now) / 2
        if not still or kept:
            return None
        if not ready(self.native):
            # When that is over it may have no processor, and has not rested.
            self._still = (now, work)
            return inf
        return since if now - since > _TICK else None

    def remember(self, now: float) -> None:
        """Keep its work so far, unless to read it would hold up a busy loop."""
        meter = self._meter
        if meter.exact and meter.began < inf and self._before and now < self._before[0] + REFRESH:
            return
        if meter.iterations == self._turned:
            return  # it has done nothing since
        self._turned = meter.iterations
        work = self.work()
        self._before = (now, work, meter.idle_at(now)) if work is not None else None

    def calm(self, began: float) -> tuple[Times, float] | None:
        """Return its work shortly before `began`, and how much may have come since."""
        if self._before is None:
            return None
        at, work, idle = self._before
        # What was busy since may have been work or not.
        return work, max(0.0, began - at - (self._meter.idle_at(began) - idle))

    def record_work_before(self, case: "StallSamples", now: float) -> None:
        """Record in `case` what it had done before, as of a time without the loop's rest since."""
        if self._before is not None:
            before, done, idle = self._before
            case.work(before + self._meter.idle_at(now) - idle, done)
