"""The thread that notices a stuck loop and reads its stack while it is still stuck."""

import contextlib
import logging
import sys
import threading
from collections import deque
from math import inf
from typing import TYPE_CHECKING

from loopclinic.probe.case import Case, Kept
from loopclinic.probe.lateness import REFRESH, Lateness
from loopclinic.probe.schedule import Schedule, Times, polls, ready
from loopclinic.probe.sidecar import Beat
from loopclinic.probe.stack import of_frames, sample
from loopclinic.probe.witness import GilWitness, Witness, native_id, thread_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopclinic.probe.meter import Meter

__all__ = ["Watchdog"]

_log = logging.getLogger("loopclinic")

_SETTLE = 1.0  # seconds that a report waits at most for a look in progress, on a busy machine
_LISTEN = 0.25  # seconds after this thread was late in which word from the witness may come
_LONGEST = 0.1  # seconds between looks at a loop that is well
_TICK = 0.012  # seconds: so often the kernel counts, at least, what a thread has run
_INTERVAL = 0.01  # seconds between looks at a stall, unless a threshold is so low as to need more


class Watchdog:
    """Looks at one meter every few milliseconds. `look` is the whole logic, the thread calls it."""

    def __init__(self, meter: "Meter") -> None:
        self._meter = meter
        self._thread: threading.Thread | None = None
        self._ended = threading.Lock()  # held until it shall stop: waited for with little ado
        # loopclinic: ignore[blocking-sync-primitive] nobody else has it yet
        self._ended.acquire()
        self._closed: Callable[[Meter], None] = lambda _: None
        self.interval = _INTERVAL
        self._threshold = inf
        self._wait = _INTERVAL  # until the next look
        self._looking = threading.Lock()
        self._loops = Schedule()
        self._witness: GilWitness | None = None
        self._listen = 0.0
        self._ending: list[Case] = []  # told to be over, but not yet over
        self.witness_error: str | None = None
        """Why there is no witness though one was wanted, as far as known."""
        self._me = 0  # this thread, as the kernel knows it
        self._ident = self._native = 0  # the loop's thread, as Python and as the kernel know it
        self._before: tuple[float, Times, float] | None = None  # when, work and idle until then
        # What other threads were seen to keep the GIL for: the look in which it was lost may hear of it,
        # and the next one know that it was.
        self._kept: deque[Kept] = deque(maxlen=64)
        # Since when the loop's thread does nothing, and what it had done until then.
        self._still: tuple[float, Times | None] = (inf, None)
        self._turned = 0  # iterations of the loop until the last look
        self._lateness = Lateness(self._beat)
        self._had = inf  # when this look last had the GIL
        self._caught: Case | None = None  # as soon as it had it again
        self.looked = inf
        """When the last look was of which it is known why it was late."""

    def start(self, closed: "Callable[[Meter], None]") -> None:
        """Start the thread; `closed` hears on it when the loop was closed, and the thread ends."""
        self._closed, self._wait = closed, self.interval
        self._thread = threading.Thread(target=self._run, name="loopclinic-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it, unless it is the caller."""
        with contextlib.suppress(RuntimeError):  # stopped twice
            self._ended.release()
        if self._thread is not None and self._thread is not threading.current_thread():
            # loopclinic: ignore[blocking-sync-primitive] it wakes by the release, and ends
            self._thread.join(timeout=2)

    def update_threshold(self) -> None:
        """Set the threshold to the lowest of the probes that listen."""
        self._threshold = min((sink.threshold for sink in self._meter.sinks), default=inf)
        self.interval = min(_INTERVAL, self._threshold / 4)

    @property
    def witness_url(self) -> str | None:
        """Where a browser hears of a held GIL, None where there is no witness."""
        return self._witness.url if self._witness is not None else None

    def _run(self) -> None:
        self._me = threading.get_native_id()
        self._lateness.follow(self._me)
        try:
            self._watch()
        finally:
            self._lateness.follow(0)
            self._loops.close()
            with self._looking:
                witness, self._witness = self._witness, None
            if witness is not None:
                witness.close()

    def _watch(self) -> None:
        while not self._ended.acquire(timeout=self._wait):
            try:
                self.look()  # at once: every step before it is a chance to lose the GIL again
                now = self._meter.clock()
                self._lateness.leave(now)
                self._staff()
                for sink in self._meter.sinks:
                    sink.tick(now)
                self._beat()
                self._wait = self._pause(now)
                if self._meter.loop.is_closed():
                    self._closed(self._meter)  # it never runs again
                    return
                self._lateness.back(self._meter.clock())
            except Exception:  # a probe must never be what breaks a program, nor go blind
                _log.exception("loopclinic: the watchdog met an error and goes on")

    def _pause(self, now: float) -> float:
        """Return for how long nothing passes unseen: to look is to wrest the GIL from the loop."""
        # A witness listens for a beat.
        longest = self._witness.interval if self._witness is not None else _LONGEST
        left = self._threshold / 2 - self._meter.age(now)
        pace = min((sink.pace for sink in self._meter.sinks), default=inf)
        return max(self.interval, min(left, pace, longest))

    def _staff(self) -> None:
        """Start a witness while a probe wants one, unless it was refused."""
        wanted = next((sink.witness for sink in self._meter.sinks if sink.witness), None)
        if wanted is None or self.witness_error is not None:
            return
        reason: object = None
        witness = self._witness
        if witness is None:
            if wanted is True and (unsuitable := Witness.unsuitable()) is not None:
                self.witness_error = unsuitable  # of this kind of machine: no news, nothing to log
                return
            try:
                self._witness = Witness() if wanted is True else wanted()
            except (OSError, RuntimeError) as error:
                reason = error
        elif witness.refused is not None:
            reason, self._witness = witness.refused, None
            witness.close()
        if reason is not None:
            self.witness_error = str(reason)
            _log.warning("loopclinic: goes on without a witness: %s", reason)

    def settle(self) -> None:
        """Wait for a look in progress, and hear what is still to be heard: a report is to be made."""
        if threading.current_thread() is self._thread:
            return
        # loopclinic: ignore[blocking-sync-primitive] it is held for microseconds
        if not self._looking.acquire(timeout=_SETTLE):
            return
        try:
            now = self._meter.clock()
            asleep = self._asleep(now, self._late(now))
            heard = self._hear(self._witness, now) if self._witness is not None else []
            self._oversleep(asleep)
            self._amend(heard)
        finally:
            self._looking.release()

    def look(self) -> None:
        """Sample the loop's stack if the iteration in progress has lasted long enough."""
        with self._looking:
            try:
                self._look()
            finally:
                self._had = inf

    def _look(self) -> None:
        meter = self._meter
        now = self._had = meter.clock()
        self._follow()
        self._beat()
        # Before any call that releases the GIL, such as reading a file, and so lets the iteration end.
        case = self._catch(now)
        late = self._late(now)
        cases = [] if case is None else [case]
        if case is not None:
            if self._lateness.over == now and late > (now - case.began) / 2:
                self._lateness.blame(case)
            case.work(now, self._work())
        elif meter.age(now) < self._threshold / 2:
            self._remember(now)
        asleep = self._asleep(now, late)
        if self._witness is not None:
            if late > self.interval or not self._witness.ready:
                self._listen = now + _LISTEN
            if now < self._listen:
                cases += self._hear(self._witness, now, case)
        self._oversleep(asleep)
        caught, self._caught = self._caught, None
        if caught is not None and caught is not case:
            caught.work(meter.clock(), self._work())
            cases.append(caught)
        self._amend(cases)
        self._turned = meter.iterations
        self._beat()

    def _beat(self) -> None:
        """Record that the GIL was available: after each call that releases it."""
        now = self._meter.clock()
        if self._witness is not None:
            self._witness.beat(Beat(now if self._native else 0.0, self._native, self._me))
        lost, self._had = now - self._had, max(now, self._had)
        if lost > self._threshold / 2:  # its holder is about to go on, and to end what it did
            self._caught = self._catch(now) or self._caught

    def _late(self, now: float) -> float:
        late = self._lateness.look(now, self._wait, self.interval, why=bool(self._meter.unseen))
        looked, self.looked = self.looked, now
        self._meter.confirm(now, looked, stood=self._lateness.stood)
        return late

    def _asleep(self, now: float, late: float) -> Case | None:
        """Return the case of a loop that could not leave its `select`: another thread kept the GIL."""
        meter = self._meter
        surely = self._lateness.surely and self._lateness.over == now
        if not (surely and meter.exact and meter.halted == inf):
            return None
        began, ended = meter.asleep(now - late, now, meter.iterations - self._turned)
        # Else it was no rest, but its own iterations that lasted so long.
        if ended - began < max(4 * self.interval, late / 2):
            return None
        case = Case(began, self.interval)
        case.ended, case.gil_held = ended, True
        return case

    def _oversleep(self, asleep: Case | None) -> None:
        """Book it, if anybody has seen that it was the GIL."""
        if asleep is None:
            return
        for kept in self._kept:
            if asleep.began <= kept.until <= asleep.ended:
                asleep.keep(kept)
        if asleep.kept is not None or self._lateness.asked:
            self._meter.oversleep(asleep)

    def _amend(self, cases: list[Case]) -> None:
        """Tell what was learned of iterations that ended while we were busy with them."""
        # The loop's thread may be at telling its end just now, of which it reads the source lines.
        waiting, self._ending = self._ending, []
        for case in (*waiting, *cases):
            if case.began != self._meter.began:
                for sink in self._meter.sinks:
                    sink.amend(case)
            elif case.ended < inf:
                self._ending.append(case)

    def _catch(self, now: float) -> Case | None:
        """Return the case of the iteration in progress with one more sample, None if none is due."""
        meter = self._meter
        if not meter.loop.is_running():
            # What passes until the loop is run again is nobody's stall.
            if meter.halted == inf:
                meter.halted = now
            return None
        began = meter.began
        if meter.halted < began:
            meter.halted = inf  # it runs again
        age = now - began
        # From half the threshold on: a stall that barely passes it gets its line, too.
        if age < self._threshold / 2:
            return None
        case = meter.case
        if case is None or case.began != began:
            case = Case(began, self.interval, self._calm(began))
        elif now < case.due:
            return None
        frame = sys._current_frames().get(self._ident)  # noqa: SLF001 - the documented way
        found = sample(frame, meter.loop)
        if found is None or meter.began != began:
            return None  # the iteration ended meanwhile: what was read may belong to the next
        if meter.bare(frame) and (since := self._rests(now)) is not None:
            meter.rested(began, since, now)
            return None
        case.add(found, now, bare=meter.bare(frame))
        meter.case = case
        return case

    def _rests(self, now: float) -> float | None:
        """Return since when the loop's thread, in no callback, waits for events or its processor.

        A virtual machine's host that has no time for that processor shows as neither work nor wait.
        """
        since, done = self._still
        work = self._work()
        still = work is not None and work == done
        if not still:
            self._still = (now, work)
        if polls(self._native):
            return since if still else (min(since, now) + now) / 2
        return since if still and now - since > _TICK and ready(self._native) else None

    def _remember(self, now: float) -> None:
        """Keep the work of the loop's thread so far, unless to read it would hold up a busy loop."""
        meter = self._meter
        if meter.exact and meter.began < inf and self._before and now < self._before[0] + REFRESH:
            return
        work = self._work()
        self._before = (now, work, meter.idle_at(now)) if work is not None else None

    def _calm(self, began: float) -> tuple[Times, float] | None:
        """Return the work of the loop's thread shortly before `began`, and how much may have come since."""
        if self._before is None:
            return None
        at, work, idle = self._before
        # What was busy since may have been work or not.
        return work, max(0.0, began - at - (self._meter.idle_at(began) - idle))

    def _follow(self) -> None:
        """Learn which thread runs the loop now."""
        ident = getattr(self._meter.loop, "_thread_id", None) or self._meter.thread_id
        if ident != self._ident:
            self._ident, self._native, self._before = ident, native_id(ident), None

    def _work(self) -> Times | None:
        """Return what the kernel says of the loop's thread, None if it does not."""
        with contextlib.suppress(OSError):  # the thread is gone
            self._loops.follow(self._native)
            times = self._loops.read()
            self._beat()
            return times if self._loops.known else None
        return None

    def _hear(self, witness: GilWitness, now: float, caught: Case | None = None) -> list[Case]:
        """Return what was seen while this thread could not look.

        `caught` is what it has seen itself just now, of an iteration that may be over since.
        """
        meter = self._meter
        heard: list[Case] = []
        reports = witness.collect()
        self._beat()
        for at, silent, thread, frames in reports:
            kept = Kept(of_frames(frames), thread_name(thread), at - silent, at) if thread else None
            if kept is not None:
                self._kept.append(kept)
            case, began = meter.case, meter.began
            if case is None or not case.began <= at <= case.ended:
                if caught is not None and caught.began <= at <= caught.ended:
                    case = caught
                elif began <= at:
                    case = meter.case = Case(began, self.interval, self._calm(began))
                elif kept is not None and heard and heard[-1].keeps(kept):
                    case = heard[-1]
                else:  # nobody within has seen it, and it is over
                    case = Case(at)
                    if self._before is not None:
                        # Without the idle time since, which has no part in it.
                        before, done, idle = self._before
                        case.work(before + meter.idle_at(now) - idle, done)
            case.gil_likely = True
            if self._lateness.begun <= at <= self._lateness.over:
                self._lateness.blame(case)
            if kept is not None:
                case.keep(kept)
            else:
                case.add(of_frames(frames), at)
            if case not in heard:
                heard.append(case)
        if heard:
            work = self._work()
            for case in heard:
                case.work(now, work)
        return heard
