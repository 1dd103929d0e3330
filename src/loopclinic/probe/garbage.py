"""When the garbage collector ran, and for how long: it stops every thread of the process."""

import gc
import threading
from collections import deque
from time import perf_counter
from typing import Any, NamedTuple

__all__ = ["Collected", "during", "listen", "unlisten"]

_LONG = 0.001  # seconds: shorter collections explain no stall
_lock = threading.Lock()
_listeners = 0


class _Run(NamedTuple):
    began: float
    ended: float
    generation: int
    freed: int


class Collected(NamedTuple):
    """The collections within a span of time."""

    seconds: float
    times: int
    generation: int
    """The oldest that was collected."""
    freed: int
    """Objects, in all of them."""


runs: deque[_Run] = deque(maxlen=64)
"""The latest long collections; on the clock of `perf_counter`."""


def _listener() -> Any:
    # All that it needs is bound here: it may be called while the interpreter takes modules apart.
    clock, long, keep, made = perf_counter, _LONG, runs.append, _Run
    began = 0.0

    def heard(phase: str, info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = clock()
        elif (ended := clock()) - began > long:
            keep(made(began, ended, info["generation"], info["collected"]))

    return heard


_heard = _listener()


def listen() -> None:
    """Take note of collections until `unlisten()` was called as often."""
    global _listeners  # noqa: PLW0603 - one list of callbacks in the process, so one count
    with _lock:
        if not _listeners:
            gc.callbacks.append(_heard)
        _listeners += 1


def unlisten() -> None:
    """Undo one `listen()`."""
    global _listeners  # noqa: PLW0603
    with _lock:
        _listeners = max(0, _listeners - 1)
        if not _listeners and _heard in gc.callbacks:
            gc.callbacks.remove(_heard)


def forget() -> None:
    """Start anew in a forked child, where nobody measures and the lock may be somebody's."""
    global _listeners, _lock
    _lock, _listeners = threading.Lock(), 0
    if _heard in gc.callbacks:
        gc.callbacks.remove(_heard)


def during(began: float, ended: float) -> Collected | None:
    """Return the long collections within a span of time, None if there were none."""
    inside = [
        (min(run.ended, ended) - max(run.began, began), run)
        for run in runs.copy()
        if run.ended > began and run.began < ended
    ]
    if not inside:
        return None
    return Collected(
        sum(seconds for seconds, _ in inside),
        len(inside),
        max(run.generation for _, run in inside),
        sum(run.freed for _, run in inside),
    )
