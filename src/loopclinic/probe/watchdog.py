"""The thread that notices a stuck loop and reads its stack while it is still stuck."""

import contextlib
import logging
import signal
import sys
import threading
from collections import deque
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from loopclinic.probe.blocking_frames import call_index
from loopclinic.probe.census import waiting_on
from loopclinic.probe.frames import count_threads, giving_back
from loopclinic.probe.gil_holder import SURE
from loopclinic.probe.heartbeat import HeartbeatMeter
from loopclinic.probe.lateness import Lateness
from loopclinic.probe.loop_thread import LoopThread
from loopclinic.probe.schedule import Times
from loopclinic.probe.sidecar import Beat
from loopclinic.probe.stack import of_frames, sample
from loopclinic.probe.stall_samples import GilHold, StallSamples
from loopclinic.probe.undisturbed import caller
from loopclinic.probe.witness import GilWitness, Witness, thread_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopclinic.probe.meter import Meter

_log = logging.getLogger("loopclinic")

_FAULTS = {
    signal.SIGSEGV,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGABRT,
    getattr(signal, "SIGBUS", 0),
}

_SETTLE = 1.0  # seconds that a report waits at most for a look in progress, on a busy machine
_SHORT = 0.25  # seconds of short looks at a loop that rests, until the next whole one
_LISTEN = 0.25  # seconds after this thread was late in which word from the witness may come
_LONGEST = 0.1  # seconds between looks at a loop that is well
_ASLEEP = 1.0  # seconds between looks at one that rests and ends its rest by waking this thread
_REST = 0.8  # thresholds between looks at one that rests and wakes nobody
_ALONE = 2  # threads of a program in which none but these two can keep the GIL
_RELEASE = 2  # switch intervals: a thread that can release the GIL does so within one
_INTERVAL = 0.01  # seconds between looks at a stall, unless a threshold is so low as to need more


class Watchdog:
    """Looks at one meter every few milliseconds. `look` is the whole logic, the thread calls it."""

    def __init__(self, meter: "Meter") -> None:
        self._meter = meter
        self._thread: threading.Thread | None = None
        self._over = False  # it shall stop
        # Held until then, or until it is woken; waited for with little ado.
        self._ended = threading.Lock()
        # loopclinic: ignore[blocking-sync-primitive] nobody else has it yet
        self._ended.acquire()
        self._closed: Callable[[Meter], None] = lambda _: None
        self.interval = _INTERVAL
        self._threshold = inf
        self._wait = _INTERVAL  # until the next look
        self._looking = threading.Lock()
        self._loop = LoopThread(meter, self._beat)
        self._witness: GilWitness | None = None
        self._listen = 0.0
        self._ending: list[StallSamples] = []  # told to be over, but not yet over
        self.witness_error: str | None = None
        """Why there is no witness though one was wanted, as far as known."""
        self._me = 0  # this thread, as the kernel knows it
        self._ran = inf  # since the GIL was asked for, as of the look in progress
        # What other threads were seen to keep the GIL for: the look in which it was lost may hear of it,
        # and the next one know that it was.
        self._kept: deque[GilHold] = deque(maxlen=64)
        # When an iteration began, and since when its loop rests, where that is still to be judged.
        self._resting: tuple[float, float] | None = None
        self._lateness = Lateness(self._beat)
        self._whole = -inf  # until when looks may be short
        self._woken = inf  # when it was woken
        self._seen_at = -1  # iterations at the look before
        self._awake_wait = _INTERVAL  # until the next look at a loop that may be busy
        self._back = -inf  # when it had done what was due after a look
        self._had = inf  # when this look last had the GIL
        self._caught: StallSamples | None = None  # as soon as it had it again
        self.looked = inf
        """When the last look was of which it is known why it was late."""

    def start(self, closed: "Callable[[Meter], None]") -> None:
        """Start the thread; `closed` hears on it when the loop was closed, and the thread ends."""
        self._closed, self._wait = closed, self.interval
        self.looked = now = self._meter.clock()
        self._lateness.skip(now)
        # The loop's own thread may keep the GIL until the first look.
        if caller().thread == self._meter.thread_id:
            self._loop.follow()
            self._loop.ran_since(now, 0.0)
        if any(callable(sink.witness) for sink in self._meter.sinks):  # it is quickly made
            self._start_witness()
        self._thread = threading.Thread(target=self._run, name="loopclinic-watchdog", daemon=True)
        _start_without_signals(self._thread)
        self._me = self._thread.native_id or 0
        # Not on that thread: to open a file there is to let the loop's keep the GIL before the first look.
        self._lateness.follow(self._me)
        self._beat()  # what keeps the GIL from now on is seen

    def stop(self) -> None:
        """End the thread and wait for it, unless it is the caller."""
        self._over = True
        with contextlib.suppress(RuntimeError):  # stopped twice
            self._ended.release()
        if self._thread is not None and self._thread.ident != threading.get_ident():
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
        try:
            self._watch()
        finally:
            with self._looking:  # who stops a probe may look, too
                self._lateness.follow(0)
                self._loop.close()
                witness, self._witness = self._witness, None
            if witness is not None:
                witness.close()

    def _watch(self) -> None:
        goes_on = True
        while goes_on:
            try:
                with giving_back(self._meter.loop):
                    goes_on = self._turn()
                    self._loop.seen = None
            except Exception:  # a probe must never be what breaks a program, nor go blind
                _log.exception("loopclinic: the watchdog met an error and goes on")

    def _turn(self) -> bool:
        """Sleep, then look and do what is due; return whether to go on."""
        woken = self._sleep_then_see()
        if woken and self._over:
            return False
        self._meter.asleep = False
        if woken and self._awake(self._meter.clock()):
            return True
        rests = self._rests_on(self._meter.clock())
        if rests is not False and self._skip(self._meter.clock()):
            return True
        self.look()  # at once: every step before it is a chance to lose the GIL again
        if rests is False:
            self._meter.wake()
        now = self._meter.clock()
        self._lateness.pause(now)
        if self._meter.case is not None:  # while the loop is stuck anyway
            call_index().grow()
        self._start_witness()
        closed = self._meter.loop.is_closed()
        for sink in self._meter.sinks:
            sink.tick(inf if closed else now)
        self._beat()
        self._wait = self._pause(now)
        if closed:
            self._closed(self._meter)  # it never runs again
            return False
        self._back = self._meter.clock()
        self._lateness.resume(self._back)
        return True

    def _sleep_then_see(self) -> bool:
        """Wait until a look is due or somebody wakes this thread, which it tells; see a stuck loop at once."""
        meter, case, least = self._meter, self._meter.case, self._threshold / 2
        if case is not None and case.began == meter.began:
            least = max(least, case.due - case.began)
        # loopclinic: ignore[blocking-sync-primitive] this thread has nothing else to do
        wait = partial(self._ended.acquire, True, self._wait)
        return self._loop.see_after(wait, least if meter.halted == inf else inf)

    def _skip(self, now: float) -> bool:
        """Return whether nothing is to be seen or done: the short way, for most looks at a loop that is well.

        What a look takes is mostly that its code is no longer in the processor's caches.
        """
        late = now - self.looked - self._wait
        if now > self._whole or late > self.interval or self._meter.age(now) > 0:
            return False
        if self._meter.unseen or self._ending or now < self._listen:
            return False
        self.looked = now
        self._loop.ran_since(now, 0.0)
        self._lateness.skip(now)
        if self._witness is not None:
            self._beat()
        if self._meter.loop.is_closed():
            return False
        self._sleep(now)
        return True

    def _rests_on(self, now: float) -> bool | None:
        """Return whether a loop whose timer has stopped has rested since the last look, None of any other."""
        meter = self._meter
        if not isinstance(meter, HeartbeatMeter) or self._loop.known is None:
            return None
        ran = self._loop.ran()
        if ran is None:
            return None
        at, done, _ = self._loop.known
        calm = meter.is_calm(ran - done, now - at)
        if not meter.resting:
            return None
        if now - self.looked - self._wait > self._threshold / 2 or not meter.loop.is_running():
            return False
        # A thread that has not run waits for what it waited for.
        if ran != done and not (calm and self._loop.waits()):
            return False
        meter.expect(now, self._awake_wait)
        self._loop.seen = None
        return True

    def _sleep(self, now: float) -> None:
        """Look no more until the loop ends its rest, if it does so seldom and no other thread could keep it."""
        meter = self._meter
        rests = meter.exact and meter.iterations == self._seen_at and meter.began == inf
        self._seen_at = meter.iterations
        if not rests or count_threads() > _ALONE:
            self._wait = self._awake_wait
            return
        pace = min((sink.pace for sink in meter.sinks), default=inf)
        if pace <= self._awake_wait:
            return
        # A little longer, so that whoever is to be called then is due.
        self._wait, self._whole = min(_ASLEEP, pace + self.interval), now
        # First: a call that keeps the GIL may begin between any two of these lines.
        meter.asleep = True
        if self._witness is not None:
            self._witness.beat(Beat(0.0, 0, 0))  # nobody is to look for it
        if meter.began < inf:  # it ended its rest in between, and has not seen that
            meter.asleep, self._wait = False, self._awake_wait
            self._beat()

    def wake(self, now: float) -> None:
        """Wake the thread, on the loop's, which begins an iteration now."""
        self._woken = now
        if self._witness is not None:
            self._witness.beat(Beat(now, self._loop.native, self._me))
        with contextlib.suppress(RuntimeError):  # it is awake
            self._ended.release()

    def _awake(self, now: float) -> bool:
        """Look again from when the loop's rest ended on; return whether nothing is to be seen yet.

        Else that iteration has kept this thread from the GIL.
        """
        since = self.looked = self._back = self._woken
        self._lateness.skip(since)
        self._wait = max(0.0, self._threshold / 2 - (now - since))
        return self._wait > 0

    def _pause(self, now: float) -> float:
        """Return for how long nothing passes unseen: to look is to wrest the GIL from the loop."""
        meter = self._meter
        left, longest, short = self._threshold / 2 - meter.age(now), _LONGEST, _SHORT
        if meter.resting and count_threads() <= _ALONE:
            left, short = _REST * self._threshold, _ASLEEP
        elif self._witness is not None:
            longest = self._witness.interval  # it listens for a beat
        pace = min((sink.pace for sink in self._meter.sinks), default=inf)
        wait = max(self.interval, min(left, pace, longest))
        starting = self._witness is not None and not self._witness.ready
        wanted = starting or self._meter.age(now) > 0
        # Until something is to be done: what a subscriber asks for is done up to half an interval early.
        self._whole = now if wanted else now + min(short, pace - self.interval / 2)
        self._awake_wait = wait
        return wait

    def _start_witness(self) -> None:
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

    def finish_look(self) -> None:
        """Wait for a look in progress, and hear what is still to be heard: a report is to be made."""
        if self._thread is not None and threading.get_ident() == self._thread.ident:
            return
        # loopclinic: ignore[blocking-sync-primitive] it is held for microseconds
        if not self._looking.acquire(timeout=_SETTLE):
            return
        try:
            now = self._meter.clock()
            asleep = self._blocked_select(now, self._late(now))
            heard = self._collect(self._witness, now) if self._witness is not None else []
            self._record_blocked_select(asleep)
            self._complete(heard)
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
        now = self._had = self._loop.seen.at if self._loop.seen is not None else meter.clock()
        self._loop.follow()
        self._beat()
        # Before any call that releases the GIL, such as reading a file, and so lets the iteration end.
        case = self._catch(now, first=True)
        late = self._late(now)
        self._end_rest(now)
        cases = [] if case is None else [case]
        if case is not None:
            waited, work = self._loop.waited, self._loop.work()
            lost = self._lateness.wanted[1] == now or self._lateness.surely_until(now)
            if self._kept_by_loop(late, self._loop.waited - waited):
                if late > (now - case.began) / 2:
                    if self._lateness.over == now:
                        self._lateness.mark(case)
                    case.gil_likely = case.gil_likely or self._lateness.wanted[1] == now
            else:
                lost = False
            if not lost:
                case.not_held()
            self._count(case, now)
            case.work(now, work)
        elif meter.exact and self._lateness.wanted[1] == now:
            cases.append(self._missed(now, late))
        elif meter.age(now) < self._threshold / 2:
            self._loop.remember(now)
        asleep = self._blocked_select(now, late)
        if self._witness is not None:
            if late > self.interval or not self._witness.ready:
                self._listen = now + _LISTEN
            if now < self._listen:
                cases += self._collect(self._witness, now, case)
        self._record_blocked_select(asleep)
        caught, self._caught = self._caught, None
        if caught is not None and caught is not case:
            caught.work(meter.clock(), self._loop.work())
            cases.append(caught)
        self._complete(cases)
        self._beat()

    def _kept_by_loop(self, late: float, waited: float) -> bool:
        """Whether a call may have kept the GIL, and not only a thread without a processor.

        Who runs gives the GIL away when asked for it. So the loop's thread has either worked on since
        then, or it rests: in that call, or as long as another thread keeps the GIL.
        """
        return self._ran >= SURE or late - self._ran - waited > late / 2

    def _missed(self, now: float, late: float) -> StallSamples:
        """Return what is known of an iteration that ended while the GIL could not be had."""
        case = StallSamples(now - late)
        case.gil_held, case.last = True, now - late / 2
        if SURE <= self._ran < inf:  # its own thread worked on with it
            case.work(case.began, Times(0.0, 0.0))
            case.work(now, Times(max(self._ran, late / 2), 0.0))
            return case
        self._loop.record_work_before(case, now)
        case.work(now, self._loop.work())
        return case

    def _end_rest(self, now: float) -> None:
        """End the iteration of a loop that rests now: only now, if it waited for the GIL until then."""
        resting, self._resting = self._resting, None
        if resting is None:
            return
        began, since = resting
        if self._lateness.wanted[1] == now and self._meter.began == began:
            case = self._meter.case = StallSamples(began)
            case.gil_held, since = True, now
        self._meter.end_iteration(began, since, now)

    def _beat(self) -> None:
        """Record that the GIL was available: after each call that releases it."""
        now = self._meter.clock()
        if self._witness is not None:
            every = self._awake_wait if self._meter.resting else 0.0
            self._witness.beat(
                Beat(now if self._loop.native else 0.0, self._loop.native, self._me, every)
            )
        lost, self._had = now - self._had, max(now, self._had)
        if lost > self._threshold / 2:  # its holder is about to go on, and to end what it did
            self._caught = self._catch(now) or self._caught

    def _late(self, now: float) -> float:
        late = self._lateness.look(now, self._wait, self.interval, why=bool(self._meter.unseen))
        looked, self.looked = self.looked, now
        if self._loop.known is None or self._loop.known[0] < now:
            self._ran = self._loop.ran_since(now, late)
        # Where the loop's thread worked on, it was not the machine that stood still.
        stood = self._lateness.stood and not SURE <= self._ran < inf
        wanted = self._lateness.wanted
        self._meter.confirm(now, looked, stood=stood, wanted=wanted)
        return late

    def _blocked_select(self, now: float, late: float) -> StallSamples | None:
        """Return the case of a loop that could not leave its `select`: another thread kept the GIL."""
        meter = self._meter
        wanted = self._lateness.wanted[1] == now
        if not ((wanted or self._lateness.surely_until(now)) and meter.exact):
            return None
        if meter.halted < inf:
            return None
        # The GIL was lost at some moment since the look before.
        began, ended = meter.rest_span(now - late - min(self._wait, late) / 2, now)
        # Else it was no rest, but its own iterations that lasted so long.
        if ended - began < max(4 * self.interval, late / 2):
            return None
        case = StallSamples(began, self.interval)
        case.ended, case.gil_held = ended, True
        return case

    def _record_blocked_select(self, asleep: StallSamples | None) -> None:
        """Book it, if anybody has seen that it was the GIL."""
        if asleep is None:
            return
        for kept in self._kept:
            if asleep.began <= kept.until <= asleep.ended:
                asleep.add_hold(kept)
        if (
            asleep.kept is not None
            or self._lateness.asked
            or self._lateness.wanted[0] < asleep.ended
        ):
            self._meter.record_blocked_select(asleep)

    def _complete(self, cases: list[StallSamples]) -> None:
        """Tell what was learned of iterations that ended while we were busy with them."""
        # The loop's thread may be at telling its end just now, of which it reads the source lines.
        telling = self._meter.over(self._meter.began, inf)
        waiting, self._ending = self._ending, []
        for case in (*waiting, *cases):
            if telling:
                self._ending.append(case)
            elif case.began != self._meter.began and not self._meter.adopt(case):
                for sink in self._meter.sinks:
                    sink.complete(case)

    def _catch(self, now: float, *, first: bool = False) -> StallSamples | None:
        """Return the samples of the iteration in progress with one more, None if none is due.

        `first` says that it is what a look begins with, and why it was late is still to be seen.
        """
        meter = self._meter
        if not meter.loop.is_running():
            # What passes until the loop is run again is nobody's stall.
            if meter.halted == inf:
                meter.halted = meter.clock()
            return None
        seen, self._loop.seen = self._loop.seen, None
        now, began = (now, meter.began) if seen is None else (seen.at, seen.began)
        if meter.halted < began:
            meter.halted = inf  # it runs again
        age = now - began
        # From half the threshold on: a stall that barely passes it gets its line, too.
        if age < self._threshold / 2:
            return None
        case = meter.case
        due = max(self.looked, self._back) + self._wait
        lost = max(0.0, now - (self._had if self._had < now else due))
        self._ran = self._loop.ran_since(now, lost, seen and seen.ran)
        if case is None or case.began != began:
            case = StallSamples(began, self.interval, self._loop.calm(began))
        elif now < case.due:
            return None
        held = lost > _RELEASE * sys.getswitchinterval() and self._ran >= SURE
        if seen is None:
            frame = self._loop.frame()
            found = sample(frame, meter.loop, held=held)
        else:
            frame = seen.top.frame
            found = sample(seen.top, meter.loop, held=held, current=seen.task)
        ended = meter.began != began
        if found is None or (ended and seen is None) or meter.over(began, now):
            return None  # the iteration ended meanwhile: what was read may belong to the next
        bare = meter.between_callbacks(frame)
        kept = lost > self._threshold / 2
        since = self._loop.rests_since(now, case.last, kept=kept) if bare else None
        if since == inf:
            bare = False
        elif since is not None:
            if kept and first:  # whether it waited for the GIL until now is to be seen
                self._resting = (began, since)
            else:
                meter.end_iteration(began, since, now)
            return None
        case.add(found, now, bare=bare, held=lost)
        if not ended:
            meter.case = case
        return case

    def _count(self, case: StallSamples, now: float) -> None:
        """See which tasks wait, each time that the stall has become twice as long."""
        age = now - case.began
        if age >= max(self._threshold, 2 * case.counted) and case.began == self._meter.began:
            case.counted = age
            case.waiting = waiting_on(self._meter.loop) or case.waiting

    def _collect(
        self, witness: GilWitness, now: float, caught: StallSamples | None = None
    ) -> list[StallSamples]:
        """Return what was seen while this thread could not look.

        `caught` is what it has seen itself just now, of an iteration that may be over since.
        """
        meter = self._meter
        heard: list[StallSamples] = []
        reports = witness.collect()
        self._beat()
        for at, silent, thread, frames in reports:
            kept = (
                GilHold(of_frames(frames), thread_name(thread), at - silent, at) if thread else None
            )
            if kept is not None:
                self._kept.append(kept)
            case, began = meter.case, meter.began
            if case is None or not case.began <= at <= case.ended:
                if caught is not None and caught.began <= at <= caught.ended:
                    case = caught
                elif began <= at:
                    case = StallSamples(began, self.interval, self._loop.calm(began))
                    if not meter.over(began, now):
                        meter.case = case
                elif kept is not None and heard and heard[-1].continues(kept):
                    case = heard[-1]
                else:  # nobody within has seen it, and it is over
                    case = StallSamples(at)
                    self._loop.record_work_before(case, now)
            case.gil_likely = True
            if self._lateness.begun <= at <= self._lateness.over:
                self._lateness.mark(case)
            if kept is not None:
                case.add_hold(kept)
            else:
                held = max(0.0, silent - witness.interval)
                case.add(of_frames(frames), at, held=held, exact=True)
            if case not in heard:
                heard.append(case)
        if heard:
            work = self._loop.work()
            for case in heard:
                case.work(now, work)
        return heard


def _start_without_signals(thread: threading.Thread) -> None:
    """Start a thread that the kernel gives no signal: what the program blocks is for its own `sigwait`."""
    if not hasattr(signal, "pthread_sigmask"):
        thread.start()
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _FAULTS)
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
