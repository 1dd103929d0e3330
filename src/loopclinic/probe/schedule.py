"""Reads one thread's processor time, waiting time and state from Linux's scheduler; zeros elsewhere."""

import contextlib
import os
import sys
import time
from typing import NamedTuple

_POLLS = (b"epoll", b"ep_poll")  # libuv's way to wait


class Times(NamedTuple):
    """Seconds since the thread began."""

    ran: float
    waited: float
    """For a processor, while it could have run."""
    turns: int = 0
    """How often it was given one."""


def times(schedstat: bytes) -> Times:
    """Return what the kernel says of a thread in its schedstat: proc(5), two of it in nanoseconds.

    Raises:
        ValueError: it says something else.
    """
    ran, waited, turns = map(int, schedstat.split())
    return Times(ran * 1e-9, waited * 1e-9, turns)


def cpu_time(thread: int) -> float | None:
    """Return the seconds that a native thread of this process has run, None where the kernel does not tell.

    Unlike a read of a file this does not release the GIL.
    """
    if sys.platform != "linux" or not thread:
        return None
    try:
        return time.clock_gettime(cpu_clock(thread))
    except (OSError, OverflowError):  # it has ended
        return None


def cpu_clock(thread: int) -> int:
    """Return the number that Linux gives the clock of a thread's processor time.

    See include/linux/posix-timers_types.h, CPUCLOCK_PERTHREAD_MASK and CPUCLOCK_SCHED.
    """
    return ~thread << 3 | 6


def polls(thread: int) -> bool:
    """Return whether a native thread of this process waits for events now: proc(5), wchan."""
    try:
        with open(f"/proc/self/task/{thread}/wchan", "rb") as file:  # noqa: PTH123
            where = file.read()
    except OSError:
        return False
    return any(name in where for name in _POLLS)


def ready(thread: int) -> bool:
    """Return whether a native thread of this process computes, or could: proc(5), the state R of its stat."""
    try:
        with open(f"/proc/self/task/{thread}/stat", "rb") as file:  # noqa: PTH123
            return file.read().rpartition(b")")[2].split()[:1] == [b"R"]
    except OSError:
        return False


class Schedule:
    """The running totals of one thread of this process; both are zero where they can't be had."""

    def __init__(self) -> None:
        self._file: int | None = None
        self._thread = 0

    @property
    def known(self) -> bool:
        """Whether there is anything to read."""
        return self._file is not None

    def follow(self, thread: int) -> None:
        """Read this native thread from now on (0: none)."""
        if thread == self._thread:
            return
        self.close()
        self._thread = thread
        with contextlib.suppress(OSError):  # not Linux, or it has ended
            self._file = os.open(f"/proc/self/task/{thread}/schedstat", os.O_RDONLY)

    def read(self) -> Times:
        """Return the totals.

        Raises:
            OSError: the thread has ended.
        """
        if self._file is None:
            return Times(0.0, 0.0)
        return times(os.pread(self._file, 100, 0))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
        self._file, self._thread = None, 0
