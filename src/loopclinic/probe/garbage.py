"""Records when garbage collections ran and for how long: each stops every thread of the process."""

import contextlib
import gc
import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from math import inf
from operator import attrgetter, call, getitem, gt, is_, itemgetter, sub
from time import perf_counter, sleep, thread_time
from typing import Any, NamedTuple

from loopclinic.probe.blocking_frames import call_index, in_progress
from loopclinic.probe.frames import KEPT, callers_of, own_frames, standing
from loopclinic.probe.stack import Sample, sample

_LONG = 0.001  # seconds: shorter collections explain no stall
_NOTHING: Any = is_  # of C, with two arguments
_lock = threading.Lock()
_listeners = 0


class _Run(NamedTuple):
    began: float
    ended: float
    work: float
    """Seconds for which its thread ran. The rest it waited, for a processor, or for the GIL between finalizers."""
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
    work: float
    """Seconds for which these ran, and did not wait for a processor."""
    automatic: float
    """Seconds of those that no call of `gc.collect` asked for."""


runs: deque[Any] = deque(maxlen=64)
"""The latest long collections, as they were recorded; on the clock of `perf_counter`."""


class _AtStart(partial[Any]):
    """What is called with `info` at the start of a collection, by `setattr(self, phase, info)`."""

    start, stop = property(None, call), property(None, _NOTHING)


class _AtStop(partial[Any]):
    start, stop = property(None, _NOTHING), property(None, call)


_begun: deque[tuple[float, float]] = deque(maxlen=1)


def _recorder(
    clock: Callable[[], float] = perf_counter, work: Callable[[], float] = thread_time
) -> tuple[Any, ...]:
    """Return what `gc` is to call with phase and info as a collection starts and stops.

    It is of C alone, iterators whose next step does the work. A line of Python would have the handlers of
    signals run in it, and what they raise, such as KeyboardInterrupt, be lost: `gc` only prints it. Other
    threads would run, too, in the midst of what set the collection off.
    """
    info: dict[str, dict[str, int]] = {}
    long = map(gt, map(sub, _each(clock), map(itemgetter(0), _stored(_begun, 0))), repeat(_LONG))
    record = zip(
        _stored(_begun, 0),
        _each(clock),
        _each(work),
        _stored(info, "stop"),
        map(list, map(map, repeat(attrgetter(*KEPT)), callers_of(own_frames()))),
        _each(threading.get_native_id),
        strict=False,
    )
    choice: Any = partial(next, repeat(None)), partial(next, map(runs.append, record))
    start = map(_begun.append, zip(_each(clock), _each(work), strict=False))
    stop: Any = map(call, map(getitem, repeat(choice), long))  # type: ignore[arg-type]
    return (
        partial(setattr, _AtStart(next, start)),
        info.__setitem__,
        partial(setattr, _AtStop(next, stop)),
    )


def _each(function: Callable[[], Any]) -> Iterator[Any]:
    return map(call, repeat(function))


def _stored(values: Any, key: object) -> Iterator[Any]:
    return map(getitem, repeat(values), repeat(key))


_heard = _recorder()


def listen() -> None:
    """Record collections until `unlisten()` was called as often."""
    global _listeners  # noqa: PLW0603 - one list of callbacks in the process, so one count
    with _lock:
        if not _listeners:
            _begun.append((inf, inf))  # one in progress, of another thread, has no start
            # Next to the collection itself: what others call as it starts or stops may give the GIL away.
            gc.callbacks[:0] = _heard[1:]
            gc.callbacks.append(_heard[0])
        _listeners += 1


def unlisten() -> None:
    """Undo one `listen()`."""
    global _listeners  # noqa: PLW0603
    with _lock:
        _listeners = max(0, _listeners - 1)
        if not _listeners:
            _remove()


def _remove() -> None:
    for one in _heard:
        with contextlib.suppress(ValueError):  # somebody has emptied the list
            gc.callbacks.remove(one)


def collect() -> None:
    """Collect all garbage: `gc.collect` does nothing while a collection of another thread is under way."""
    thread, over = threading.get_ident(), list[int]()

    def heard(phase: str, info: dict[str, int]) -> None:
        if phase == "stop" and threading.get_ident() == thread:
            over.append(info["generation"])

    gc.callbacks.append(heard)
    try:
        while 2 not in over:  # an automatic one of this thread may come between
            gc.collect()
            sleep(0)  # loopclinic: ignore[blocking-sleep] until that of another thread is over
    finally:
        gc.callbacks.remove(heard)


def forget() -> None:
    """Start anew in a forked child, where nobody measures and the lock may be somebody's."""
    global _listeners, _lock
    _lock, _listeners = threading.Lock(), 0
    _remove()


def during(began: float, ended: float) -> Collected | None:
    """Return the long collections within a span of time, None if there were none."""
    inside = [
        (min(run.ended, ended) - max(run.began, began), run)
        for run in (_run(one) for one in runs.copy() if one[1] > began and one[0][0] < ended)
        if run.work > _LONG
    ]
    if not inside:
        return None
    return Collected(
        sum(seconds for seconds, _ in inside),
        len(inside),
        max(run.generation for _, run in inside),
        sum(run.freed for _, run in inside),
        max(inside, key=lambda one: one[0])[1],
        sum(run.work for _, run in inside),
        sum(seconds for seconds, run in inside if not asked(run)),
    )


def _run(recorded: Any) -> _Run:
    (began, before), ended, worked, info, stack, thread = recorded
    cause = standing([(seen, None) for seen in stack])
    work, freed, found = worked - before, info["collected"], sample(cause)
    if found is not None and found.in_thread:  # while it waits, the loop may run
        ended = min(ended, began + work)
    return _Run(began, ended, work, info["generation"], freed, found, thread)


def asked(run: _Run) -> bool:
    """Return whether `gc.collect` was called, and it was no allocation that set a collection off."""
    if run.sample is None or run.sample.call is None:
        return False
    frame = run.sample.stack()[-1]
    call_index().grow()
    leaves = (call_index().call(frame.file, *one) for one in in_progress(frame, run.sample.call))
    return any(leaf is not None and leaf.name == "gc.collect" for leaf in leaves)
