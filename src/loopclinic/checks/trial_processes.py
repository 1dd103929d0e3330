"""Process tree of a trial: resource limits, use, termination, and time lost to other programs."""

import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

import psutil

from loopclinic.probe.schedule import Times, times

MARK = "LOOPCLINIC_TRIAL"
"""The environment variable that marks every process of a trial."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a trial may use: seconds, bytes, counts."""

    seconds: float = 12.0
    """From when the child is ready: how long a busy machine takes to start it is not the lab's doing."""
    longest: float = 27.0
    """The same of a trial in virtual time, from whose `seconds` what other programs took is left out."""
    start: float = 30.0
    """Seconds until the child must be ready."""
    memory: int = 2_000_000_000
    output: int = 50_000_000
    kept_output: int = 64 << 10
    open_files: int = 2048
    file_size: int = 1 << 30
    processes: int = 100


class Tree:
    """A child process with all that came out of it, also what has left its session."""

    def __init__(self, pid: int, mark: str) -> None:
        self._root, self._mark, self._looks = psutil.Process(pid), mark, 0
        self._born = self._root.create_time()
        self._known: dict[int, psutil.Process] = {pid: self._root}

    def root_ended(self) -> bool:
        """Return whether the child has ended; it is not waited for, so that its number stays taken."""
        return not _alive(self._root)

    @property
    def processes(self) -> list[psutil.Process]:
        """The child and what was found of its descendants."""
        return list(self._known.values())

    def usage(self) -> tuple[int, int]:
        """Return resident bytes and the number of processes; descendants are looked up every fifth call."""
        self._looks += 1
        if self._looks % 5 == 0:
            self._look()
        total = 0
        for pid, process in list(self._known.items()):
            try:
                total += process.memory_info().rss
            except psutil.Error:
                if process is not self._root:
                    del self._known[pid]
        return total, len(self._known)

    def own_memory(self) -> int:
        """Return bytes of memory, pages that forks share counted once; takes milliseconds a process."""
        found = 0
        for process in self.processes:
            with contextlib.suppress(psutil.Error):
                full = process.memory_full_info()
                found += getattr(full, "pss", full.uss)
        return found

    def _look(self) -> None:
        with contextlib.suppress(psutil.Error):
            for process in self._root.children(recursive=True):
                self._known.setdefault(process.pid, process)

    def kill(self) -> None:
        """End every process of the tree.

        Found by descent, by process group and by the mark in their environment. To be called before
        the child is waited for: until then nothing else can bear its number.
        """
        self._look()
        for _ in range(5):
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._root.pid, signal.SIGKILL)
            alive = [*self._marked(), *(one for one in self._known.values() if _alive(one))]
            if not alive:
                break
            for process in alive:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs([one for one in alive if one.pid != self._root.pid], timeout=0.2)

    def _marked(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            if process.pid in (os.getpid(), self._root.pid):
                continue
            try:
                # A second of slack: creation times are counted in clock ticks.
                if process.create_time() < self._born - 1:
                    continue
                if process.environ().get(MARK) == self._mark and _alive(process):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


WINDOW = 2.0
"""Seconds; what happened in so many can decide about one promise."""

_PERIOD = 0.25
_ENOUGH = 1.0  # seconds; what happened to less tells nothing


@dataclass(frozen=True, slots=True)
class _Account:
    """Seconds, all of them ever growing."""

    at: float
    busy: float
    """That all processors of the machine worked."""
    idle: float
    """That they had nothing to do."""
    stolen: float
    """That the host of a virtual machine kept them from running (Linux)."""
    ran: float
    """That the trial's main thread ran."""
    waited: float
    """That it waited for a processor (Linux)."""
    late: float
    """That this process' own timers were late."""
    used: float
    """That processors worked for the trial."""


class Shortage:
    """`begin()`, then `look()` again and again: `share` of its time, 0 to 1, others had the processor.

    On Linux the kernel says how long the trial's main thread waited for its turn. Elsewhere, and where
    the whole machine stood still, it is how late this process' own timers were (`late`). What the
    trial took from itself is not counted.
    """

    def __init__(self, pid: int) -> None:
        self._schedstat, self._late, self._worst = f"/proc/{pid}/schedstat", 0.0, 0.0
        self._first: _Account | None = None
        self._last: _Account | None = None
        self._recent: deque[_Account] = deque()

    def begin(self, trial: Collection[psutil.Process]) -> None:
        """Count from here; `trial` are the processes that belong to it."""
        self._first = self._last = self._read(trial)

    def late(self, seconds: float) -> None:
        """Record that a timer of this process fired so many seconds late."""
        self._late += seconds

    def look(self, trial: Collection[psutil.Process]) -> None:
        """Read the accounts, at most four times a second."""
        if self._last is not None and time.monotonic() > self._last.at + _PERIOD:
            self._last = self._read(trial)
            recent = self._recent
            recent.append(self._last)
            while len(recent) > 1 and recent[1].at <= self._last.at - WINDOW:
                recent.popleft()
            if recent[0].at <= self._last.at - WINDOW:
                self._worst = max(self._worst, _withheld(_grown(recent[0], self._last)))

    @property
    def share(self) -> float:
        """The share of its time for which others kept the trial from running, 0 to 1.

        0 of a trial of less than a second.
        """
        grown = self._whole()
        return 0.0 if grown is None else _withheld(grown)

    @property
    def worst(self) -> float:
        """The largest such share of any two seconds."""
        return self._worst

    @property
    def wanted(self) -> float:
        """The share of its time for which the main thread ran or waited to, 0 to 1."""
        grown = self._whole()
        return 0.0 if grown is None else min(1.0, (grown.ran + grown.waited) / grown.at)

    def _whole(self) -> _Account | None:
        """Return what came to the accounts since the beginning; None of less than a second."""
        first, last = self._first, self._last
        if first is None or last is None or last.at < first.at + _ENOUGH:
            return None
        return _grown(first, last)

    def _read(self, trial: Collection[psutil.Process]) -> _Account:
        cpu = psutil.cpu_times()
        idle, stolen, guests = (
            sum(getattr(cpu, name, 0.0) for name in names)
            # A guest's time is in user's already.
            for names in (("idle", "iowait"), ("steal",), ("guest", "guest_nice"))
        )
        busy, used = sum(cpu) - idle - stolen - guests, sum(map(_used, trial))
        ran, waited = (_turns(self._schedstat) or (0.0, 0.0))[:2]
        return _Account(time.monotonic(), busy, idle, stolen, ran, waited, self._late, used)


def _grown(first: _Account, last: _Account) -> _Account:
    # Processes that have ended took their accounts along.
    return _Account(
        *(max(0.0, getattr(last, name) - getattr(first, name)) for name in _Account.__slots__)
    )


def _withheld(grown: _Account) -> float:
    """Return the share of that time for which others kept the trial from running."""
    others = max(0.0, 1 - grown.used / grown.busy) if grown.busy else 1.0
    stolen = grown.stolen / ((grown.busy + grown.idle + grown.stolen) or 1.0)
    return min(1.0, max(grown.waited / grown.at * others + stolen, grown.late / grown.at * others))


def _turns(schedstat: str) -> Times | None:
    """Return what the kernel says of a main thread; None if it does not."""
    try:
        with open(schedstat, "rb") as file:  # noqa: PTH123 - four times a second
            return times(file.read())
    except (OSError, ValueError):
        return None


def _used(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
