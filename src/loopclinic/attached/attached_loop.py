"""One event loop of another process: its iterations and stalls, from what was seen of it at each look."""

import linecache
import threading
from collections import deque
from collections.abc import Hashable
from pathlib import Path

from loopclinic.attached.foreign_calls import ForeignCalls
from loopclinic.attached.remote_loops import Look, LoopReader, SeenFrame
from loopclinic.conflicts import TREATMENTS
from loopclinic.probe.census import Census
from loopclinic.probe.diagnosis import findings
from loopclinic.probe.histogram import BUCKETS, bucket
from loopclinic.probe.report import Report, Snapshot, Stall, Totals
from loopclinic.probe.stack import Sample, of_frames
from loopclinic.probe.stall_samples import GilHold, StallSamples
from loopclinic.units import span

INTERVAL = 0.01
"""Seconds between two looks."""
_STALLS = 1000  # kept
_HELD = 0.05  # seconds at one instruction with the GIL, from which on it is one call that keeps it
_COUNT = 0.25  # seconds between two counts of the tasks of a stuck loop


class _Samples(StallSamples):
    """Samples from outside: whether the thread computes is what it was seen at, and no total of the scheduler."""

    __slots__ = ("looks", "running")

    def __init__(self, began: float, pace: float) -> None:
        super().__init__(began, pace)
        self.looks = self.running = 0

    @property
    def computing(self) -> float | None:
        """The share of the looks at which the thread ran or could; None where that is unknown."""
        return self.running / self.looks if self.looks else None


class AttachedLoop:
    """What is known of one loop of another process; it has a probe's figures. Times are in seconds.

    `feed` gets each look; any thread may ask meanwhile. `zero` is the moment from which all times of
    its stalls and snapshots are counted, by `time.monotonic`.
    """

    def __init__(
        self, reader: LoopReader, calls: ForeignCalls, first: Look, *, threshold: float, zero: float
    ) -> None:
        self.threshold, self._zero = threshold, zero
        self.kind = reader.kind(first.loop)
        number = reader.process.here(first.thread.native)
        self.thread = _thread_name(reader.process.pid, number)
        self._reader, self._calls = reader, calls
        busy = first.state == "busy" and first.began is not None
        self._began = first.began if busy and first.began is not None else first.at
        self._last = first
        self._stalls: deque[Stall] = deque(maxlen=_STALLS)
        self._kept: tuple[Hashable, float] = None, first.at  # who has the GIL where, and since when
        self._ended = 0  # stalls, those that are kept no more included
        self._totals = Totals(0, 0.0, [0] * BUCKETS, [0.0] * BUCKETS)
        self._iteration: Hashable = None
        self._case: _Samples | None = None
        self._lock = threading.Lock()
        self.feed(first)

    def feed(self, look: Look) -> None:
        """Record one look."""
        with self._lock:
            self._feed(look)

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """The stalls that are over, in order; of very many, the latest thousand."""
        return tuple(self._stalls)

    @property
    def began(self) -> float:
        """When the first iteration that was seen began."""
        return self._began - self._zero

    @property
    def idle(self) -> bool:
        """Whether it waited for events at the last look, and could have had them."""
        return self._last.state == "idle" and self._kept[0] is None

    @property
    def resting(self) -> bool:
        """Whether it waits for events, as far as is known: another thread may keep the GIL just now."""
        with self._lock:
            return self._case is None

    @property
    def iterations(self) -> int:
        """How many iterations were seen: of short ones, few are."""
        return self._totals.iterations

    def stalls_since(self, told: int) -> tuple[list[Stall], int]:
        """Return the stalls after the first `told`, as far as they are kept, and how many there were."""
        with self._lock:
            new = min(self._ended - told, len(self._stalls))
            return list(self._stalls)[len(self._stalls) - new :], self._ended

    def current(self) -> Stall | None:
        """Return the stall in progress, or None."""
        with self._lock:
            case = self._case
            if case is None or self._last.at - case.began < self.threshold:
                return None
            return self._stall(case, self._last.at)

    def snapshot(self) -> Snapshot:
        """Return the running totals. Iterations that were not seen are not counted."""
        with self._lock:
            totals, at = self._totals, self._last.at
            age = at - self._case.began if self._case is not None else 0.0
            figures = totals.iterations, totals.idle, age
            return Snapshot(at - self._zero, *figures, (*totals.counts,), (*totals.sums,))

    def report(self) -> Report:
        """Return what was found until now, with the stall in progress."""
        current, snapshot = self.current(), self.snapshot()
        seconds = max(self._last.at - self._began, 1e-9)
        age = min(snapshot.age, seconds)
        stalls = (*self.stalls, *([current] if current is not None else []))
        worst = max([age, *(one.seconds for one in stalls)])
        seen = self._totals.span(seconds, age, worst)
        return Report(seconds, self.iterations, seen.utilization, seen.lag, stalls)

    def census(self) -> Census:
        """Return how many tasks and threads there are; nothing is known of executors."""
        tasks = self._reader.tasks(self._last) or (0,)
        try:
            threads = sum(1 for _ in Path(f"/proc/{self._reader.process.pid}/task").iterdir())
        except OSError:
            threads = 0
        return Census(sum(tasks), 0, 0, 0, 0, threads)

    def finish(self) -> None:
        """Record that the loop has stopped: what it was in ended at the last look."""
        with self._lock:
            self._close(self._last.at)

    def _feed(self, look: Look) -> None:
        last, self._last = self._last, look
        since = max(last.at, self._began)
        between = (since + look.at) / 2
        keeper = look.kept[::2] if look.kept is not None else None
        if keeper is None or keeper != self._kept[0]:
            self._kept = keeper, look.at
        # While another thread keeps the GIL in one call, a loop that rests can't wake.
        kept = keeper is not None and (
            look.at - self._kept[1] >= min(_HELD, self.threshold / 2)
            # It was seen to wait for just that: between two tries it looks as if it rested.
            or (self._case is not None and self._iteration == keeper)
        )
        if look.state == "idle" and kept:
            look = look._replace(state="gil")
            if self._case is None:
                back = min(look.at, since) - self._kept[1]
                self._totals = self._totals._replace(idle=self._totals.idle - max(0.0, back))
                between = self._kept[1]
        if look.state == "idle":
            ended = between if self._case is not None else since
            self._close(ended)
            self._totals = self._totals._replace(idle=self._totals.idle + look.at - ended)
            return
        iteration = self._iteration_of(look)
        if self._case is None or iteration != self._iteration:
            began = look.began if look.began is not None and look.state == "busy" else None
            if self._case is None and last.state == "idle" and not kept:
                idle = max(since, began if began is not None else between)
                self._totals = self._totals._replace(idle=self._totals.idle + idle - since)
                began = idle if began is None else began
            self._close(began if began is not None else between)
            self._case = _Samples(began if began is not None else between, INTERVAL)
            self._iteration = iteration
        case = self._case
        assert case is not None
        if look.at - case.began >= self.threshold / 2:
            self._sample(case, look, last)

    def _iteration_of(self, look: Look) -> Hashable:
        """Return what stays equal while the loop is in one iteration."""
        if look.state == "gil":
            assert look.kept is not None
            return look.kept.thread, look.kept.steps
        if look.iteration is not None:
            return look.iteration
        # Another loop than asyncio's and uvloop's: its callback's own frame has not moved.
        return look.steps[-2:-1] or look.steps

    def _close(self, ended: float) -> None:
        """Book the iteration in progress, and its stall if it was one."""
        case, self._case = self._case, None
        if case is None:
            return
        ended = max(ended, case.began, case.last)
        case.ended = ended
        seconds = ended - case.began
        index = bucket(seconds)
        counts, sums = self._totals.counts, self._totals.sums
        counts[index] += 1
        sums[index] += seconds
        self._totals = self._totals._replace(iterations=self._totals.iterations + 1)
        if ended - case.began >= self.threshold and case.seen + (case.kept is not None):
            self._stalls.append(self._stall(case, ended))
            self._ended += 1

    def _sample(self, case: _Samples, look: Look, last: Look) -> None:
        same = look.steps == last.steps and last.at >= case.began
        alone = look.holds_gil and last.holds_gil and same
        held = look.at - max(last.at, case.began) if alone else 0.0
        kept, before = look.kept, last.kept
        if kept is not None and before is not None and kept[::2] == before[::2]:
            # Seen twice at one instruction with the GIL: it kept it all the while.
            case.gil_held = True
            since = max(case.began, case.kept.since if case.kept is not None else last.at)
            name = _thread_name(self._reader.process.pid, self._reader.process.here(kept.thread))
            case.add_hold(GilHold(self._sample_of(kept.frames, None), name, since, look.at))
        elif look.frames and look.state == "busy":
            case.gil_likely = case.gil_likely or held > 0
            sample = self._sample_of(look.frames, look.callback)
            case.add(sample, look.at, held=held, exact=held > 0)
        if look.state == "busy" and look.computes is not None:
            case.looks += 1
            case.running += look.computes
        if look.at - case.began - case.counted >= _COUNT or case.waiting is None:
            case.waiting, case.counted = self._reader.waiting(look), look.at - case.began

    def _sample_of(self, frames: tuple[SeenFrame, ...], callback: tuple[int, int] | None) -> Sample:
        for one in frames:
            self._calls.note(one.file, one.line, one.function, one.qualified)
            self._keep_source(one.file)
        coroutines = frozenset(index for index, one in enumerate(frames) if one.coroutine)
        places = [one[:3] for one in frames]
        return of_frames(places, coroutines, callback=callback, call=frames[-1].span)

    def _keep_source(self, file: str) -> None:
        """Have `linecache` give the source as that process sees it, in whatever root and folder it is."""
        if file in linecache.cache or file.startswith("<"):
            return
        lines = linecache.getlines(self._reader.process.path(file)) or linecache.getlines(file)
        linecache.cache[file] = sum(map(len, lines)), None, lines, file

    def _stall(self, case: StallSamples, ended: float) -> Stall:
        found = findings(case, case.began, ended, self.threshold, calls=self._calls)
        return Stall(case.began - self._zero, ended - case.began, **found)


def in_words(stall: Stall) -> str:
    """Return a stall in one line: place, call, conflict, how many wait, and the lesson."""
    parts = [f"{span(stall.seconds)} at {stall.where}"]
    if stall.code:
        parts[0] += f" `{stall.code}`"
    if stall.conflict is not None:
        parts.append(stall.conflict)
    elif stall.diagnosis:
        parts.append(stall.diagnosis[0].lower() + stall.diagnosis[1:].rstrip("."))
    if stall.thread is not None:
        parts.append(f"by thread {stall.thread}" if stall.thread else "by another thread")
    if stall.waiting is not None and (tasks := stall.waiting.ready + stall.waiting.suspended):
        parts.append(f"{tasks:,} {'task waits' if tasks == 1 else 'tasks wait'}")
    if stall.conflict in TREATMENTS:
        parts.append(f"lesson {TREATMENTS[stall.conflict][0][:2]}")
    return ", ".join(parts)


def _thread_name(pid: int, number: int) -> str:
    """Return the name of a thread: `MainThread` for the first, as Python calls it, else the kernel's."""
    if number == pid:
        return "MainThread"
    try:
        name = Path(f"/proc/{pid}/task/{number}/comm").read_text("utf-8", "replace").strip()
        main = Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return ""
    return name if name != main else f"thread {number}"
