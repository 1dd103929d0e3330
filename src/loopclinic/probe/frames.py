"""Reads frames in steps of C alone, between which no other thread, finalizer or signal handler comes.

A loop goes on while another thread looks at what was read. What that thread is the last to hold is then
freed by it, though it may belong to the loop's thread: `giving_back` has it freed there.
"""

import asyncio
import gc
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from inspect import CO_OPTIMIZED
from itertools import accumulate, chain, compress, islice, repeat, takewhile, tee
from operator import attrgetter, call, contains, eq, getitem
from types import FrameType
from typing import Any, ClassVar, TypeVar

_T = TypeVar("_T")
_lent = threading.local()  # `objects` of other threads by id, within `giving_back`
_ALONE = next(map(sys.getrefcount, [object()]))
"""References to an object that only a list has, as counted there."""
KEPT = "f_code", "f_lineno", "f_lasti", "f_globals"  # of a frame: none of its locals


class Standing:
    """A frame as it stood when it was read: its thread has gone on since, and may have left it."""

    f_locals: ClassVar[dict[str, Any]] = {}

    def __init__(self, seen: Iterable[Any], caller: Any, frame: FrameType | None) -> None:
        self.f_code, self.f_lineno, self.f_lasti, self.f_globals = seen
        self.f_back = caller
        self.frame = frame
        """The frame itself, where that is still at hand."""


def standing(
    stack: Sequence[tuple[Iterable[Any], FrameType | None]], caller: FrameType | None = None
) -> Any:
    """Return the top frame of a stack as it stood when what is `KEPT` of each was read, innermost first.

    `caller` is the frame that called the outermost.
    """
    top: Any = caller
    for seen, frame in reversed(stack):
        top = Standing(seen, top, frame)
    return top


def callers_of(frames: Iterable[FrameType | None]) -> Iterator[Iterator[FrameType]]:
    """Yield for each frame an iterator of it and those that called it, as C of its own."""
    once = map(repeat, frames, repeat(1))  # a `zip` would keep the last frame, and so its variables
    chains = map(chain, once, repeat(repeat("f_back")))
    found: Any = map(accumulate, chains, repeat(getattr))
    return map(takewhile, repeat(bool), found)


def stack_of(tops: Iterable[FrameType | None]) -> Iterator[tuple[tuple[Any, ...], FrameType]]:
    """Yield of top frames' stacks, innermost first, each frame after what is `KEPT` of it, as C of its own."""
    frames, again = tee(chain.from_iterable(callers_of(tops)))
    return zip(map(attrgetter(*KEPT), frames), again, strict=False)


def uncollected(steps: Iterable[_T], first: Callable[[], object] = tuple) -> list[_T]:
    """List what an iterator of C yields, from any thread, while no garbage collection can begin.

    `first` is called before that, in the same step of C: it may wait, and let other threads run.

    Up to Python 3.11 one may begin where the object of a frame or the dictionary of its locals is made, and
    what it calls back and finalizes is Python: another thread runs, returns from that frame, and the process
    crashes, or stands still if that was in `sys._current_frames`. From 3.12 on collections begin elsewhere.
    """
    found: list[_T] = []
    if sys.version_info >= (3, 12):
        deque(map(call, (first, partial(found.extend, steps))), 0)
        return found
    enable: list[Any] = []
    enabled = compress((gc.enable,), map(call, (gc.isenabled,)))
    # One call of C: no other thread sees collections disabled, or enables them in between.
    calls = first, partial(enable.extend, enabled), gc.disable, partial(found.extend, steps)
    try:
        deque(map(call, chain(calls, enable)), 0)
    except BaseException:  # out of memory
        deque(map(call, enable), 0)
        raise
    return found


@contextmanager
def giving_back(loop: asyncio.AbstractEventLoop | None) -> Iterator[None]:
    """Have what is read within, of a loop's frames, tasks and values, freed on the loop's own thread.

    What nobody else has at the end is handed to the loop, which drops it as its next callback.
    """
    outer: dict[int, Any] | None = getattr(_lent, "objects", None)
    lent: dict[int, Any] = {}
    _lent.objects = lent
    try:
        yield
    finally:
        _lent.objects = outer
        if lent:
            read = [*lent.values()]
            lent.clear()
            last = _only_in(read)
            if last and loop is not None:
                with suppress(RuntimeError):  # it is closed
                    loop.call_soon_threadsafe(last.clear)


def lend(objects: Iterable[Any]) -> None:
    """Keep objects of another thread until the end of `giving_back`, where this is within that."""
    lent = getattr(_lent, "objects", None)
    if lent is not None:
        read = [*objects]
        lent.update(zip(map(id, read), read, strict=True))


def _only_in(read: list[Any]) -> list[Any]:
    """Empty a list of objects, and return those that nothing else refers to, in one step of C."""
    counts: list[int] = []
    last: list[Any] = []
    alone = compress(read, map(eq, counts, repeat(_ALONE)))
    count = partial(counts.extend, map(sys.getrefcount, read))
    steps: list[Callable[[], object]] = [count, partial(last.extend, alone), read.clear]
    uncollected(map(call, steps))
    return last


def chain_of(frame: FrameType | None) -> list[FrameType]:
    """Return a frame and those that called it, innermost first."""
    found = uncollected(next(callers_of([frame])))
    lend(found)
    return found


def top_frame(thread: int) -> FrameType | None:
    """Return the frame in which a thread is, None if there is no such thread."""
    # No variable may hold what is found of all threads: it has this thread's own frame, and so itself.
    tops = map(call, (sys._current_frames,))  # noqa: SLF001 - the documented way
    (frame,) = found = uncollected(map(dict.get, tops, (thread,)))
    lend(found)
    return frame


def frames_of_others() -> dict[int, FrameType]:
    """Return the frame in which each thread is, by its number, without the calling one."""
    tops = map(call, (sys._current_frames,))  # noqa: SLF001 - as above
    found = uncollected(tops)[0]
    del found[threading.get_ident()]
    return found


def own_frames() -> Iterator[FrameType | None]:
    """Yield in each step the frame in which the thread that asks is, None where it runs no Python.

    Up to Python 3.11 it takes no lock: a collection that begins in `sys._current_frames` calls back while
    that has the lock of all threads, and would wait for itself.
    """
    if sys.version_info >= (3, 12):
        tops = map(call, repeat(sys._current_frames))  # noqa: SLF001 - as above
        return map(dict.get, tops, map(call, repeat(threading.get_ident)))
    try:
        import ctypes  # some Pythons have none

        api = ctypes.PyDLL(None)
        state, frame, runs = (
            api[f"Py{name}"]
            for name in ("ThreadState_Get", "ThreadState_GetFrame", "Eval_GetGlobals")
        )
    except (ImportError, OSError, AttributeError, TypeError):
        return repeat(None)
    state.restype = runs.restype = ctypes.c_void_p
    frame.argtypes, frame.restype = [ctypes.c_void_p], ctypes.py_object
    top = partial(next, map(frame, map(call, repeat(state))))
    choice = partial(next, repeat(None)), top
    runs_python = map(bool, map(call, repeat(runs)))
    return map(call, map(getitem, repeat(choice), runs_python))


def count_threads() -> int:
    """Return how many threads run Python, counted without a lock."""
    return uncollected(map(len, map(call, (sys._current_frames,))))[0]  # noqa: SLF001 - as above


def frame_of(coroutine: Any, kind: str = "cr") -> FrameType | None:
    """Return the frame of a coroutine (or `gi`, `ag`: generator), None of one that is over or has none."""
    (frame,) = found = uncollected(map(getattr, (coroutine,), (f"{kind}_frame",), (None,)))
    lend(found)
    return frame


def locals_of(frame: FrameType, *names: str) -> list[Any]:
    """Return the values of names in a function's frame, maybe another thread's; None where there is none.

    Up to Python 3.12 a reading makes a dictionary of all of them, which keeps the values until the frame is left.
    """
    if isinstance(frame, Standing):
        frame = frame.frame or frame
    if (
        not frame.f_code.co_flags & CO_OPTIMIZED
    ):  # a module's are its globals, a class's may be anything
        return [None] * len(names)
    each = map(getattr, repeat(frame), repeat("f_locals"))
    if sys.version_info >= (3, 13):
        found = [values.get(name) for name, values in zip(names, each, strict=False)]
    else:
        found = uncollected(map(dict.get, each, names))
    lend(found)
    return found


def locals_of_caller(inner: FrameType, thread: int, *names: str) -> list[Any]:
    """Return the values of names in the frame that called `inner`; None of all if `thread` has left that call.

    Nobody asks for the dictionary of a loop's own frame, so up to Python 3.12 it is emptied at once: else the
    last reference to what a callback was called with would go with the next reading, in the reader's thread.
    That may be done only while the call lasts: what a tracer in Python is called with is written back to the
    frame, and would leave it without variables.
    """
    if isinstance(inner, Standing):
        inner = inner.frame or inner
    caller = inner.f_back
    if caller is None or sys.version_info >= (3, 13):
        return [None] * len(names) if caller is None else locals_of(caller, *names)
    now = map(dict.get, map(call, repeat(sys._current_frames)), repeat(thread))  # noqa: SLF001 - as above
    holds: Any = contains  # of an iterator, too
    lasts = map(holds, callers_of(now), repeat(inner))
    each = map(getattr, compress(repeat(caller, len(names) + 1), lasts), repeat("f_locals"))
    values = map(dict.get, islice(each, len(names)), names)
    found = uncollected(chain(values, map(dict.clear, each)))
    lend(found)
    return [*found[: len(names)], *[None] * (len(names) - len(found))]
