"""Reads frames in steps of C alone, between which no other thread, finalizer or signal handler comes."""

import gc
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from inspect import CO_OPTIMIZED
from itertools import accumulate, chain, compress, islice, repeat, takewhile
from operator import call
from types import FrameType
from typing import Any, TypeVar

_T = TypeVar("_T")


def callers_of(frames: Iterable[FrameType | None]) -> Iterator[Iterator[FrameType]]:
    """Yield for each frame an iterator of it and those that called it, as C of its own."""
    chains = map(chain, zip(frames, strict=False), repeat(repeat("f_back")))
    found: Any = map(accumulate, chains, repeat(getattr))
    return map(takewhile, repeat(bool), found)


def uncollected(steps: Iterable[_T]) -> list[_T]:
    """List what an iterator of C yields, from any thread, while no garbage collection can begin.

    Up to Python 3.11 one may begin where the object of a frame or the dictionary of its locals is made, and
    what it calls back and finalizes is Python: another thread runs, returns from that frame, and the process
    crashes, or stands still if that was in `sys._current_frames`. From 3.12 on collections begin elsewhere.
    """
    if sys.version_info >= (3, 12):
        return list(steps)
    found: list[_T] = []
    enable: list[Any] = []
    enabled = compress((gc.enable,), map(call, (gc.isenabled,)))
    # One call of C: no other thread sees collections disabled, or enables them in between.
    calls = partial(enable.extend, enabled), gc.disable, partial(found.extend, steps)
    try:
        deque(map(call, chain(calls, enable)), 0)
    except BaseException:  # out of memory
        deque(map(call, enable), 0)
        raise
    return found


def top_frame(thread: int) -> FrameType | None:
    """Return the frame in which a thread is, None if there is no such thread."""
    # No variable may hold what is found of all threads: it has this thread's own frame, and so itself.
    tops = map(call, (sys._current_frames,))  # noqa: SLF001 - the documented way
    return uncollected(map(dict.get, tops, (thread,)))[0]


def count_threads() -> int:
    """Return how many threads run Python, counted without a lock."""
    return uncollected(map(len, map(call, (sys._current_frames,))))[0]  # noqa: SLF001 - as above


def frame_of(coroutine: Any, kind: str = "cr") -> FrameType | None:
    """Return the frame of a coroutine (or `gi`, `ag`: generator), None of one that is over or has none."""
    (frame,) = uncollected(map(getattr, (coroutine,), (f"{kind}_frame",), (None,)))
    return frame


def locals_of(frame: FrameType, *names: str) -> list[Any]:
    """Return the values of names in a function's frame, maybe another thread's; None where there is none.

    Up to Python 3.12 a reading makes a dictionary of all of them, which keeps the values until the frame is
    left. Nobody asks for that of a loop's own frame, so there it is emptied at once: else the last reference
    to what a callback was called with would go with the next reading, in the reader's thread.
    """
    if (
        not frame.f_code.co_flags & CO_OPTIMIZED
    ):  # a module's are its globals, a class's may be anything
        return [None] * len(names)
    each = map(getattr, repeat(frame), repeat("f_locals"))
    if sys.version_info >= (3, 13):
        return [values.get(name) for name, values in zip(names, each, strict=False)]
    emptied = map(dict.clear, each) if frame.f_code.co_name == "_run_once" else ()
    return uncollected(chain(map(dict.get, each, names), islice(emptied, 1)))[: len(names)]
