"""Whose code is on a thread's stack."""

import asyncio
import inspect
import linecache
import os
import re
import sys
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from loopclinic.probe.report import Frame

__all__ = ["LIBRARY", "PACKAGE", "Sample", "cell_label", "of_frames", "sample", "user_code"]

_DEEPEST = 60  # frames kept of one stack: the outer end of a deep recursion says nothing new
PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep
_LESSONS = f"{PACKAGE}lessons{os.sep}"
LIBRARY = tuple(
    {
        str(Path(path)) + "/"
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
        if (path := sysconfig.get_path(name))
    }
)
# What calls callbacks: asyncio's handles, and for other loops whatever ran the loop as a whole.
_LOOPS = {"_run": ("asyncio/events.py",), "run": ("asyncio/runners.py", "uvloop/__init__.py")}
_POLLS = {"select": "selectors.py", "timed": f"probe{os.sep}meter.py"}
_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE


@cache
def user_code(file: str) -> bool:
    """Whether a file is the user's own: not standard library, installed package or loopclinic.

    Lessons and labs count as the user's own; a notebook cell does too.
    """
    if file.startswith("<"):
        return file in ("<stdin>", "<string>") or file.startswith(("<ipython-input", "<console"))
    if file.startswith(PACKAGE):
        return file.startswith(_LESSONS)
    if file.endswith(".pyx"):  # an installed driver's, named relative to where it was built
        return False
    path = file.replace("\\", "/")
    if "/site-packages/" in path or "/dist-packages/" in path:
        return False
    return not path.startswith(LIBRARY) and Path(path).name != "runpy.py"


class Sample(NamedTuple):
    """A thread's stack at one moment. `guilty` indexes the frame to name in `frames`."""

    frames: tuple[tuple[str, int, str], ...]
    """(file, line, function), outermost first."""
    guilty: int
    synchronous_cell: bool
    coroutines: frozenset[int] = frozenset()
    """Which of the frames are coroutines."""
    task: str | None = None
    """The name of the task that ran."""
    callback: tuple[int, int] | None = None
    """Which callback of the iteration ran, from 0, of how many."""

    @property
    def key(self) -> tuple[str, int]:
        """What makes two samples the same place."""
        file, line, _ = self.frames[self.guilty]
        return file, line

    @property
    def entry(self) -> int | None:
        """Where the user's own code begins below the loop, None if that does not show."""
        loop = -1
        for index, (file, _, name) in enumerate(self.frames):
            if _loops(file, name):
                loop = index
        if loop < 0:
            return None
        inside = range(loop + 1, len(self.frames))
        return next((index for index in inside if user_code(self.frames[index][0])), None)

    @property
    def polling(self) -> bool:
        """Whether the loop asked its selector, and had nobody's code to run."""
        file, _, name = self.frames[-1]
        return name in _POLLS and file.endswith(_POLLS[name]) and self.entry is None

    def stack(self) -> tuple[Frame, ...]:
        """Return the frames with their source lines."""
        return tuple(
            Frame(file, line, name, linecache.getline(file, line).strip(), index in self.coroutines)
            for index, (file, line, name) in enumerate(self.frames)
        )


def sample(frame: FrameType | None, loop: asyncio.AbstractEventLoop | None = None) -> Sample | None:
    """Read the stack that ends in `frame`, below the running `loop`; None if there is none."""
    frames: list[tuple[str, int, str]] = []
    guilty = -1
    in_shell = coroutine = False
    coroutines: list[int] = []
    callback: tuple[int, int] | None = None
    while frame is not None and (len(frames) < _DEEPEST or callback is None):
        code = frame.f_code
        file = code.co_filename
        if code.co_name == "_run_once" and callback is None:
            callback = _progress(frame, loop)
        if len(frames) >= _DEEPEST:
            frame = frame.f_back
            continue
        if code.co_flags & _COROUTINE:
            coroutines.append(len(frames))
        if user_code(file):
            if guilty < 0:
                guilty = len(frames)
            if not in_shell and code.co_flags & _COROUTINE:
                coroutine = True
        elif file.endswith("interactiveshell.py"):
            in_shell = True
        frames.append((file, frame.f_lineno or 0, code.co_name))
        frame = frame.f_back
    if not frames:
        return None
    last = len(frames) - 1
    inward = tuple(reversed(frames))
    return Sample(
        inward,
        _named(inward, last - guilty if guilty >= 0 else None),
        in_shell and not coroutine,
        frozenset(last - index for index in coroutines),
        _task(loop),
        callback,
    )


def _named(frames: Sequence[tuple[str, int, str]], mine: int | None) -> int:
    """Return which frame to name, where `mine` is the innermost that is the user's own.

    A line that only runs the loop, as in `asyncio.run(main())`, is not what the loop was stuck in.
    """
    loop = next((index for index, (file, _, name) in enumerate(frames) if _loops(file, name)), 0)
    return len(frames) - 1 if mine is None or mine < loop else mine


def _loops(file: str, name: str) -> bool:
    return name in _LOOPS and file.endswith(_LOOPS[name])


def _progress(frame: FrameType, loop: asyncio.AbstractEventLoop | None) -> tuple[int, int] | None:
    """Return which callback an iteration of `loop` is at, and of how many: its frame's own count."""
    values = frame.f_locals
    index, total = values.get("i"), values.get("ntodo")
    if values.get("self") is not loop or not isinstance(index, int) or not isinstance(total, int):
        return None  # another loop, or one that counts otherwise
    return index, total


def _task(loop: asyncio.AbstractEventLoop | None) -> str | None:
    """Return the name of the task that runs on `loop`."""
    task = asyncio.current_task(loop) if loop is not None else None
    return task.get_name() if task is not None else None


def of_frames(frames: list[tuple[str, int, str]]) -> Sample:
    """Make a sample of (file, line, function), outermost first, from outside the interpreter."""
    mine = [index for index, (file, _, _) in enumerate(frames) if user_code(file)]
    guilty = _named(frames, mine[-1] if mine else None)
    # Whether a function is a coroutine does not show: a cell's own lines count as synchronous, which
    # a sample from within, once there is one, corrects.
    in_shell = any(file.endswith("interactiveshell.py") for file, _, _ in frames)
    coroutines = frozenset(index for index, frame in enumerate(frames) if _written_async(*frame))
    return Sample(tuple(frames), guilty, in_shell and frames[guilty][2] == "<module>", coroutines)


def _written_async(file: str, line: int, function: str) -> bool:
    """Whether the source around a line says that its function is a coroutine."""
    wanted = re.compile(rf"\s*(async\s+)?def\s+{re.escape(function)}\b")
    for number in range(line, 0, -1):
        found = wanted.match(linecache.getline(file, number))
        if found:
            return found[1] is not None
    return False


def cell_label(file: str) -> str | None:
    """Return `cell [5]` if `file` is what IPython compiled the notebook's fifth input as."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return None
    try:
        kind, name = shell.compile.format_code_name(file)
    except (AttributeError, TypeError):  # None for a file that is no cell; no such method before 8
        return None
    if kind != "Cell":
        return None
    number = str(name).partition("[")[2].partition("]")[0]
    return f"cell [{number}]"
