"""Stacks of tasks and errors: the learner's line that a task waits at, or that an error came from."""

import contextlib
import gc
import inspect
import linecache
import traceback
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from loopclinic.lessons.core.shared_findings import Place
from loopclinic.probe import user_code
from loopclinic.probe.frames import callers_of, uncollected

if TYPE_CHECKING:
    import asyncio

_LESSONS = Path(__file__).parents[1]
_DEEPEST = 1000


@lru_cache(maxsize=4096)
def learners(file: str) -> bool:
    """Return whether code in this file is the learner's: a lab's, not that of a lesson around it."""
    folder = Path(file).parent
    # What has no file, as `python -c` and exec() have none, is not where a lab's line can be shown.
    return not file.startswith("<") and user_code(file) and _LESSONS not in (folder, folder.parent)


def line_at(file: str, line: int) -> Place:
    """Return a place with its line of code."""
    return Place(file, line, linecache.getline(file, line).strip())


def defined_at(function: Any) -> Place | None:
    """Return the line of a function's `def`, decorators left out; None if it is not the learner's."""
    with contextlib.suppress(Exception):
        function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    if not inspect.iscode(code) or not learners(code.co_filename):
        return None
    file, first = code.co_filename, code.co_firstlineno
    lines = ((line, linecache.getline(file, line).lstrip()) for line in range(first, first + 20))
    starts = ("def ", "async def ")
    line = next((line for line, text in lines if text.startswith(starts)), first)
    return line_at(file, line)


def innermost(steps: Iterable[tuple[FrameType, int]]) -> Place | None:
    """Return the innermost of these frames and lines that is the learner's, or None."""
    found = None
    for frame, line in steps:
        if learners(frame.f_code.co_filename):
            found = (frame.f_code.co_filename, line)
    return line_at(*found) if found else None


def stands_at(frame: FrameType | None) -> Place | None:
    """Return the learner's innermost line among this frame and its callers, or None."""
    stack = uncollected(next(callers_of([frame])))
    return innermost((one, one.f_lineno or 0) for one in reversed(stack))


def raised_at(*errors: BaseException) -> Place | None:
    """Return the learner's innermost line in the tracebacks of these errors, or None."""
    return innermost(step for one in errors for step in traceback.walk_tb(one.__traceback__))


def waits_at(task: "asyncio.Task[Any]") -> Place | None:
    """Return the learner's innermost line that this task waits at, or None."""
    return innermost(awaiting(task))


def awaiting(
    task: "asyncio.Task[Any]", *, generators: bool = False
) -> Iterator[tuple[FrameType, int]]:
    """Yield the frames and lines that a suspended task waits at, down to the innermost.

    With `generators` also those inside of asynchronous generators, such as `@asynccontextmanager` makes.
    `Task.get_stack()` stops at the outermost.
    """
    coro: Any = task.get_coro()
    for _ in range(_DEEPEST):
        if coro is None:
            return
        for kind in ("cr", "gi", "ag"):
            frame = getattr(coro, f"{kind}_frame", None)
            if frame is not None:
                yield frame, frame.f_lineno or 0
        # An asend() has no attribute for its generator.
        if generators and type(coro).__name__ == "async_generator_asend":
            inner: list[Any] = [*filter(inspect.isasyncgen, gc.get_referents(coro))]
        else:
            names = ("cr_await", "gi_yieldfrom", "ag_await")
            inner = [getattr(coro, name, None) for name in names]
        coro = next((one for one in inner if one is not None), None)


def related(error: BaseException, *, contexts: bool = False) -> Iterator[BaseException]:
    """Yield the error, those in its groups, its causes, and with `contexts` what it came in the midst of."""
    seen: set[int] = set()
    queue: list[BaseException | None] = [error]
    while queue:
        one = queue.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            queue.extend(one.exceptions)
        queue.append(one.__cause__)
        if contexts:
            queue.append(one.__context__)
