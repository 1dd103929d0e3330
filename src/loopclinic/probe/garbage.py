"""Records when garbage collections ran and for how long: each stops every thread of the process."""

import gc
import sys
import threading
from collections import deque
from collections.abc import Callable
from time import perf_counter, thread_time
from typing import Any, NamedTuple

from loopclinic.probe.blocking_frames import call_index, in_progress
from loopclinic.probe.stack import Sample, sample

_LONG = 0.001  # seconds: shorter collections explain no stall
_lock = threading.Lock()
_listeners = 0


class _Run(NamedTuple):
    began: float
    ended: float
    generation: int
    freed: int
    sample: Sample | None = None
    """The stack that caused it."""
    thread: int = 0


class Collected(NamedTuple):
    """The collections within a span of time."""

    seconds: float
    times: int
    generation: int
    """The oldest that was collected."""
    freed: int
    """Objects, in all of them."""
    longest: _Run
    automatic: float
    """Seconds of those that no call of `gc.collect` asked for."""

    @property
    def asked(self) -> bool:
        """Whether the longest one was asked for by a call."""
        return _asked(self.longest)


runs: deque[_Run] = deque(maxlen=64)
"""The latest long collections; on the clock of `perf_counter`."""


def _listener(
    clock: Callable[[], float] = perf_counter, work: Callable[[], float] = thread_time
) -> Any:
    # All that it needs is bound here: it may be called while the interpreter takes modules apart.
    long, keep, made, stack = _LONG, runs.append, _Run, sample
    caller, thread = sys._getframe, threading.get_native_id  # noqa: SLF001
    began = worked = 0.0

    def heard(phase: str, info: dict[str, int]) -> None:
        nonlocal began, worked
        if phase == "start":
            began, worked = clock(), work()
        elif (ended := clock()) - began > long:
            # As the collector starts or ends, its thread may give the GIL to another: only work counts.
            took = min(ended - began, work() - worked)
            if took > long:
                found = info["generation"], info["collected"]
                try:
                    cause = stack(caller(1))
                except Exception:
                    cause = None
                keep(made(began, began + took, *found, cause, thread()))

    return heard


_heard = _listener()


def listen() -> None:
    """Record collections until `unlisten()` was called as often."""
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
        max(inside, key=lambda one: one[0])[1],
        sum(seconds for seconds, run in inside if not _asked(run)),
    )


def _asked(run: _Run) -> bool:
    """Return whether `gc.collect` was called, and it was no allocation that set a collection off."""
    if run.sample is None or run.sample.call is None:
        return False
    frame = run.sample.stack()[-1]
    call_index().grow()
    leaves = (call_index().call(frame.file, *one) for one in in_progress(frame, run.sample.call))
    return any(leaf is not None and leaf.name == "gc.collect" for leaf in leaves)
