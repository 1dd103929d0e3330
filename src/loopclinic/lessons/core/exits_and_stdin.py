"""Detects a lab that exits its process, sends it a signal, or reads standard input."""

import functools
import io
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from loopclinic.lessons.core.stacks import learners

_SIGNALS = ("os.kill", "os.killpg")
"""Audit events of a signal; the first argument is the process, or the group, that it is sent to."""
_KEYBOARDS = (0, "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "/dev/tty", "CONIN$")
"""What is opened to read it; 0 is the descriptor."""


def note_exits(note: Callable[[FrameType], None]) -> None:
    """Call `note` with a lab's frame that is about to end this process, or to send it a signal.

    A fork of this process may end as it likes. Errors, sys.exit() and crashes in C are seen elsewhere.
    """
    own, groups = os.getpid(), {os.getpid(), os.getpgrp()} if hasattr(os, "getpgrp") else set()

    def look() -> None:
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - documented
        while frame is not None and not learners(frame.f_code.co_filename):
            frame = frame.f_back
        if frame is not None and os.getpid() == own:
            note(frame)

    def hear(event: str, args: tuple[Any, ...]) -> None:
        if event == "os.exec" or (event in _SIGNALS and args[0] in {0, own, *groups}):
            look()

    sys.addaudithook(hear)
    for module, name in ((os, "_exit"), (os, "abort"), (signal, "raise_signal")):
        setattr(module, name, _after(lambda *_: look(), getattr(module, name)))


def _after(look: Callable[..., None], call: Callable[..., Any]) -> Callable[..., Any]:
    """Return what calls `look` before it does as `call`, both with its arguments."""

    @functools.wraps(call)
    def calls(*args: Any, **kwargs: Any) -> Any:
        look(*args)
        return call(*args, **kwargs)

    return calls


def no_keyboard(on_read: Callable[[], None]) -> None:
    """Call `on_read` whenever this process reads its standard input, which is then at its end.

    That is to read from `sys.stdin` or from descriptor 0, and to open that, or the terminal.
    """
    keyboard = io.BufferedReader(_Keyboard(on_read))
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(keyboard, encoding="utf-8")  # type: ignore[misc]

    def hear(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and args[0] in _KEYBOARDS:
            on_read()

    def look(descriptor: int, *_: Any) -> None:
        if descriptor == 0:
            on_read()

    sys.addaudithook(hear)
    for name in {"read", "readv"} & vars(os).keys():
        setattr(os, name, _after(look, getattr(os, name)))


class _Keyboard(io.RawIOBase):
    def __init__(self, on_read: Callable[[], None]) -> None:
        super().__init__()
        self._on_read = on_read

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 0

    def readinto(self, buffer: Any) -> int:
        del buffer
        self._on_read()
        return 0
