"""How much of a trial's time its main thread wanted a processor that other programs had."""

import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

import psutil

from loopclinic.probe.schedule import Times, times

__all__ = ["WINDOW", "Shortage"]

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
    """That they were kept from running by whoever lends them (Linux)."""
    ran: float
    """That the trial's main thread ran."""
    waited: float
    """That it waited for a processor (Linux)."""
    late: float
    """That this process' own timers were late."""
    used: float
    """That processors worked for the trial."""


class Shortage:
    """`begin()`, then `look()` again and again: `share` is what the machine withheld, 0 to 1.

    On Linux the kernel says how long the trial's main thread waited for its turn. Elsewhere, and where
    the whole machine stood still, it is how late this process' own timers were (`late`). What the
    trial took from itself is not counted.
    """

    def __init__(self, pid: int) -> None:
        self._schedstat = f"/proc/{pid}/schedstat"
        self._late = 0.0
        self._first: _Account | None = None
        self._last: _Account | None = None
        self._recent: deque[_Account] = deque()
        self._worst = 0.0

    def begin(self, trial: Collection[psutil.Process]) -> None:
        """Count from here; `trial` are the processes that belong to it."""
        self._first = self._last = self._read(trial)

    def late(self, seconds: float) -> None:
        """Hear that a timer of this process fired so many seconds after its time."""
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
        idle, stolen, *guests = (
            sum(getattr(cpu, name, 0.0) for name in names)
            # A guest's time is in user's already.
            for names in (("idle", "iowait"), ("steal",), ("guest", "guest_nice"))
        )
        busy = sum(cpu) - idle - stolen - sum(guests)
        thread = _turns(self._schedstat) or Times(0.0, 0.0)
        return _Account(
            time.monotonic(),
            busy,
            idle,
            stolen,
            thread.ran,
            thread.waited,
            self._late,
            sum(map(_used, trial)),
        )


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
