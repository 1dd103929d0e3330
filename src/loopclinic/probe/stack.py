"""Reads the stack of the loop's thread and finds the frame of the user's own code to name."""

import asyncio
import inspect
import linecache
import os
import re
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

from loopclinic.probe.blocking_frames import span_of
from loopclinic.probe.bytecode import at_entry, held_line, returned_line
from loopclinic.probe.frames import Standing, chain_of, lend, locals_of, locals_of_caller
from loopclinic.probe.remote_stack import Span
from loopclinic.probe.report import Frame

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
_OTHER_LIBRARY = re.compile(r"/lib(64)?/python3\.\d+t?/")  # of another Python than this one
# What calls callbacks: asyncio's handles, and for other loops whatever ran the loop as a whole.
_LOOPS = {"_run": ("asyncio/events.py",), "run": ("asyncio/runners.py", "uvloop/__init__.py")}
_POLLS = {"select": "selectors.py", "timed": f"probe{os.sep}meter.py"}
GENERATED = "<generated>"
_MAKER = "__create_fn__"  # of dataclasses
# From outside only names are seen: what dataclasses and namedtuple write.
_MADE = frozenset(
    f"__{name}__"
    for name in ("init", "repr", "eq", "lt", "le", "gt", "ge", "hash", "setattr", "delattr")
) | {_MAKER, "<lambda>"}
_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE


@cache
def user_code(file: str) -> bool:
    """Return whether a file is the user's own: not standard library, installed package or loopclinic.

    Lessons and labs count as the user's own; a notebook cell does too.
    """
    if file.startswith("<"):
        return file in ("<stdin>", "<string>") or file.startswith(("<ipython-input", "<console"))
    if file.startswith(PACKAGE):
        return file.startswith(_LESSONS)
    if file.endswith(".pyx"):  # an installed driver's, named relative to where it was built
        return False
    path = file.replace("\\", "/")
    if "/site-packages/" in path or "/dist-packages/" in path or _OTHER_LIBRARY.search(path):
        return False
    return not path.startswith(LIBRARY) and Path(path).name != "runpy.py"


def file_of(code: CodeType, names: Mapping[str, Any]) -> str:
    """Return the file of a frame's code and global names: `<generated>` for what no user wrote.

    `<string>` is what `python -c` and `exec` call the user's code, and what dataclasses and namedtuple
    call theirs. Of these the first writes each function into one of its own, the other runs it among
    names that are no module's.
    """
    file = code.co_filename
    if file != "<string>":
        return file
    written = not code.co_qualname.startswith(_MAKER) and names.get("__name__") in sys.modules
    return file if written else GENERATED


Place = tuple[str, int, str]
"""File, line and function."""


class Sample(NamedTuple):
    """A thread's stack at one moment. `guilty` indexes the frame to name in `frames`."""

    frames: tuple[Place, ...]
    """Outermost first."""
    guilty: int
    synchronous_cell: bool
    coroutines: frozenset[int] = frozenset()
    """Which of the frames are coroutines."""
    task: str | None = None
    """The name of the task that ran."""
    callback: tuple[int, int] | None = None
    """Which callback of the iteration ran, from 0, of how many."""
    call: Span | None = None
    """Where the call stands that the innermost frame was in, if that is known."""

    @property
    def place(self) -> Place:
        """The line to name."""
        return self.frames[self.guilty]

    @property
    def entered(self) -> Place | None:
        """The file, first line seen and name of the callback that the loop ran; None if that does not show.

        The line is 0, for it changes while the callback runs.
        """
        entry = self.entry
        if entry is None:
            return None
        file, _, name = self.frames[entry]
        return file, 0, name

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
    def in_thread(self) -> bool:
        """Whether this is the stack of a thread in which no loop runs."""
        began = self.frames[0][2] == "_bootstrap" and self.frames[0][0].endswith("threading.py")
        return began and not any(_loops(file, name) for file, _, name in self.frames)

    @property
    def between_callbacks(self) -> bool:
        """Whether the thread was in the loop's own code, which does not show, and in no callback."""
        file, _, name = self.frames[-1]
        return name == "run" and _loops(file, name)

    @property
    def in_handle(self) -> bool:
        """Whether what the loop called has no frame: it is a function of C, or is over and frees its values."""
        file, _, name = self.frames[-1]
        return name == "_run" and _loops(file, name)

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


def sample(
    frame: FrameType | None,
    loop: asyncio.AbstractEventLoop | None = None,
    *,
    held: bool = False,
    current: "asyncio.Task[Any] | None" = None,
) -> Sample | None:
    """Read the stack that ends in `frame`, below the running `loop`; None if there is none.

    Of a frame as it stood, `current` is the task that ran then.

    `held` says that the GIL could not be had until now: then the line that kept it is named, which
    may be an earlier one than that where the thread stands.
    """
    # At once: its thread goes on, and what a frame that has moved says of its caller is not to be relied on.
    chain = chain_of(frame)
    frames: list[Place] = []
    guilty = -1
    in_shell = coroutine = False
    coroutines: list[int] = []
    callback: tuple[int, int] | None = None
    if loop is not None and not isinstance(frame, Standing):
        current = asyncio.current_task(loop)
        lend((current,))
    task = current.get_name() if current is not None else None
    frame, line, returned, ran = _corrected(frame, held=held)
    call = span_of(frame) if frame is not None and not line and returned is None else None
    if returned is not None:
        task = ran
        code, at = returned
        frames.append((code.co_filename, at, code.co_name))
        guilty = 0 if user_code(code.co_filename) else -1
    kept = chain[chain.index(frame) :] if frame in chain else []
    for inner, frame in zip([None, *kept], kept, strict=False):
        if len(frames) >= _DEEPEST and callback is not None:
            break
        code = frame.f_code
        file = file_of(code, frame.f_globals)
        if code.co_name == "_run_once" and inner is not None and callback is None:
            callback = _progress(inner, loop)
        if len(frames) >= _DEEPEST:
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
        frames.append((file, line or frame.f_lineno or 0, code.co_name))
        line = 0
    if not frames:
        return None
    last = len(frames) - 1
    inward = tuple(reversed(frames))
    return Sample(
        inward,
        _named(inward, last - guilty if guilty >= 0 else None),
        in_shell and not coroutine,
        frozenset(last - index for index in coroutines),
        task,
        callback,
        call,
    )


def _corrected(
    frame: FrameType | None, *, held: bool
) -> tuple[FrameType | None, int, tuple[CodeType, int] | None, str | None]:
    """Return the innermost frame to keep and its line (0: where it stands).

    And, where the callback has returned already, the line that was slow in it, and its task's name.
    """
    if frame is None or not (held or at_entry(frame)):
        return frame, 0, None, None
    handle = _handle(frame) if held else None
    if handle is not None:
        called = getattr(locals_of(handle, "self")[0], "_callback", None)
        ran = getattr(called, "__self__", None)
        lend((called, ran))
        if isinstance(ran, asyncio.Task):
            return handle, 0, returned_line(ran.get_coro()), ran.get_name()
        return handle, 0, returned_line(called), None
    found = held_line(frame) if held else None
    if found is not None and not _loops(found[0].f_code.co_filename, found[0].f_code.co_name):
        return *found, None, None
    caller = frame.f_back
    inner = not at_entry(frame) or caller is None or not user_code(caller.f_code.co_filename)
    return frame if inner else caller, 0, None, None


def _handle(frame: FrameType) -> FrameType | None:
    """Return the frame by which asyncio called a callback that is over, None if it is not.

    What a task does at its end, such as to call `call_soon` for those that wait for it, is no part of it.
    """
    caller = frame.f_back
    inner = caller is not None and at_entry(frame) and not user_code(frame.f_code.co_filename)
    last = caller if inner else frame
    return last if last and _loops(last.f_code.co_filename, last.f_code.co_name) else None


def _named(frames: Sequence[Place], mine: int | None) -> int:
    """Return which frame to name, where `mine` is the innermost that is the user's own.

    A line that only runs the loop, as in `asyncio.run(main())`, is not what the loop was stuck in. Of an
    import it is the line that imports, not one of the module.
    """
    loop = next((index for index, (file, _, name) in enumerate(frames) if _loops(file, name)), 0)
    if mine is None or mine < loop:
        return len(frames) - 1
    for index in range(loop + 1, mine):
        if frames[index][2] == "_find_and_load" and frames[index][0].startswith(
            "<frozen importlib"
        ):
            above = (one for one in range(index - 1, loop, -1) if user_code(frames[one][0]))
            return next(above, mine)
    return mine


def _loops(file: str, name: str) -> bool:
    return name in _LOOPS and file.endswith(_LOOPS[name])


def _progress(handle: FrameType, loop: asyncio.AbstractEventLoop | None) -> tuple[int, int] | None:
    """Return which callback an iteration of `loop` is at, by the call of its handle, and of how many."""
    thread = getattr(loop, "_thread_id", None)
    if thread is None or not _loops(handle.f_code.co_filename, handle.f_code.co_name):
        return None
    owner, index, total = locals_of_caller(handle, thread, "self", "i", "ntodo")
    if owner is not loop or not isinstance(index, int) or not isinstance(total, int):
        return None  # another loop, or one that counts otherwise
    return index, total


def of_frames(frames: list[Place], coroutines: frozenset[int] | None = None, **more: Any) -> Sample:
    """Make a sample of (file, line, function), outermost first, from outside the interpreter.

    `coroutines` says which of them are; else the source around their lines does. `more` are other
    fields of the sample.
    """
    frames = [
        (GENERATED if file == "<string>" and name in _MADE else file, line, name)
        for file, line, name in frames
    ]
    mine = [index for index, (file, _, _) in enumerate(frames) if user_code(file)]
    guilty = _named(frames, mine[-1] if mine else None)
    in_shell = any(file.endswith("interactiveshell.py") for file, _, _ in frames)
    if coroutines is not None:
        cell = in_shell and not any(user_code(frames[index][0]) for index in coroutines)
        return Sample(tuple(frames), guilty, cell, coroutines, **more)
    # Whether a function is a coroutine does not show: a cell's own lines count as synchronous, which
    # a sample from within, once there is one, corrects.
    coroutines = frozenset(index for index, frame in enumerate(frames) if _written_async(*frame))
    return Sample(tuple(frames), guilty, in_shell and frames[guilty][2] == "<module>", coroutines)


def _written_async(file: str, line: int, function: str) -> bool:
    """Return whether the source around a line says that its function is a coroutine."""
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
