"""CPython's own reader of another process's stacks (`_remote_debugging`), as a `Reader`; from 3.15 on."""

from collections.abc import Hashable
from importlib import import_module
from typing import Any

from loopclinic.probe.memory import Memory
from loopclinic.probe.outside import DEEPEST, Place

__all__ = ["RemoteReader"]

_MAIN = 0  # the interpreter that loops are watched in
_UNREADABLE = (RuntimeError, OSError, ValueError, MemoryError, OverflowError)


class RemoteReader:
    """Reads a program that runs the same Python, by its process's number (a `Reader`).

    The kernel must let this process trace that one: the same user, and no rule against it.
    `memory` tells when the program has ended or has become another one by exec.

    Raises:
        PermissionError: the kernel does not allow it.
        OSError, RuntimeError: there is no such process, or it is no such Python.
    """

    def __init__(self, pid: int, memory: Memory) -> None:
        # Private to CPython: what it gives is proved at the start, by `layout.described`.
        module = import_module("_remote_debugging")
        self._unwinder = module.RemoteUnwinder(pid, only_active_thread=True)
        self._memory = memory

    def position(self) -> tuple[int, Hashable] | None:
        """Return the thread that holds the GIL, with its frames to the column."""
        found = self._read()
        return found and (found[0], tuple(map(tuple, found[1])))

    def stack(self) -> tuple[int, list[Place]] | None:
        """Return the thread that holds the GIL and its frames, outermost first."""
        found = self._read()
        return _places(found) if found == self._read() else None

    def moving_stack(self) -> tuple[int, list[Place]] | None:
        """Return the same of a thread that may move meanwhile, as the calling one does."""
        return _places(self._read())

    def _read(self) -> tuple[int, list[Any]] | None:
        self._memory.ensure()
        try:
            interpreters = self._unwinder.get_stack_trace()
        except _UNREADABLE:  # it moved meanwhile
            return None
        for interpreter in interpreters:  # each has a GIL of its own
            if interpreter.interpreter_id == _MAIN:
                for thread in interpreter.threads:
                    return thread.thread_id, thread.frame_info
        return None


def _places(found: tuple[int, list[Any]] | None) -> tuple[int, list[Place]] | None:
    """Return what was read of a thread in plain values."""
    if found is None:
        return None
    # CPython calls some __init__ through a frame of its own, without a line.
    frames = [frame for frame in found[1] if frame.location is None or frame.location.lineno >= 0]
    return found[0], [_place(frame) for frame in reversed(frames[:DEEPEST])]


def _place(frame: Any) -> Place:
    """Return file, line and the plain name of a function, as its code has it."""
    line = frame.location.lineno if frame.location is not None else 0
    return frame.filename, line, frame.funcname.rpartition(".")[2]
