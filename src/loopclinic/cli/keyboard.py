"""Reads single keys from a terminal, without Enter; reads nothing where there is no terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Pressed = Callable[[float], str | None]


@contextmanager
def keys() -> Iterator[Pressed]:
    """Give a function that waits up to so many seconds for a key and returns it, or None.

    The terminal is as it was afterwards.
    """
    if not sys.stdin.isatty():
        yield time.sleep
    elif sys.platform == "win32":
        yield _windows_key
    else:
        import termios  # not on Windows
        import tty  # not on Windows

        number = sys.stdin.fileno()
        before = termios.tcgetattr(number)
        try:
            tty.setcbreak(number)
            yield _posix_key
        finally:
            termios.tcsetattr(number, termios.TCSADRAIN, before)


def _posix_key(seconds: float) -> str | None:
    import os  # beside select, which works on files only here
    import select  # works on sockets only on Windows

    number = sys.stdin.fileno()
    ready, _, _ = select.select([number], [], [], seconds)
    if not ready:
        return None
    data = os.read(number, 1)
    return data.decode("latin-1") if data else "\x04"


def _windows_key(seconds: float) -> str | None:
    if sys.platform != "win32":
        return None
    import msvcrt  # only there

    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if msvcrt.kbhit():
            return msvcrt.getwch()
        time.sleep(0.02)
    return None
