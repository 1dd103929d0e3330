"""Lists the threads that a piece of work has started, and those that it did not end."""

import threading
from time import monotonic


def threads_now() -> frozenset[threading.Thread]:
    """Return the threads that run."""
    return frozenset(threading.enumerate())


def threads_since(before: frozenset[threading.Thread]) -> list[str]:
    """Return the names of the threads that run and did not before."""
    return sorted(one.name for one in threads_now() - before)


def threads_left(before: frozenset[threading.Thread], within: float = 5.0) -> list[str]:
    """Return the names of the threads begun since that do not end within so many seconds.

    A count right after the work is a race: a thread that has handed over its result is still to return.
    """
    end = monotonic() + within
    for one in threads_now() - before - {threading.current_thread()}:
        one.join(max(0.0, end - monotonic()))
    return threads_since(before)
