"""Where the learner's code stands: the line that a task waits at, or that an error came from."""

import gc
import inspect
import linecache
import traceback
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from loopclinic.probe import user_code

if TYPE_CHECKING:
    import asyncio

__all__ = [
    "Place",
    "awaiting",
    "defined_at",
    "innermost",
    "learners",
    "line_at",
    "raised_at",
    "related",
    "waits_at",
]

Place = dict[str, Any]
"""`file`, `line` and `code`."""

_HOUSE = Path(__file__).parent
_DEEPEST = 1000


@lru_cache(maxsize=4096)
def learners(file: str) -> bool:
    """Whether code in this file is the learner's: a lab's, not that of a lesson around it."""
    folder = Path(file).parent
    # What has no file, as `python -c` and exec() have none, is not where a lab's line can be shown.
    return not file.startswith("<") and user_code(file) and _HOUSE not in (folder, folder.parent)


def line_at(file: str, line: int) -> Place:
    """Return a place with its line of code."""
    return {"file": file, "line": line, "code": linecache.getline(file, line).strip()}


def defined_at(function: Any) -> Place | None:
    """Return the line at which the learner defines this function or method, or None."""
    code = getattr(getattr(function, "__wrapped__", function), "__code__", None)
    if code is None or not learners(code.co_filename):
        return None
    return line_at(code.co_filename, code.co_firstlineno)


def innermost(steps: Iterable[tuple[FrameType, int]]) -> Place | None:
    """Return the innermost of these frames and lines that is the learner's, or None."""
    found = None
    for frame, line in steps:
        if learners(frame.f_code.co_filename):
            found = (frame.f_code.co_filename, line)
    return line_at(*found) if found else None


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
        if (
            generators and type(coro).__name__ == "async_generator_asend"
        ):  # it has no attribute for it
            coro = next(filter(inspect.isasyncgen, gc.get_referents(coro)), None)
            continue
        coro = next(
            (
                inner
                for name in ("cr_await", "gi_yieldfrom", "ag_await")
                if (inner := getattr(coro, name, None)) is not None
            ),
            None,
        )


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
