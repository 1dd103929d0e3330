"""The way from a watched program to who watches it: one JSON value a line, through a pipe."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

__all__ = ["Sender", "identity", "messages"]


class Sender:
    """The program's end of the channel; `send` may be called from any thread.

    The pipe never reaches what the program starts, and a process that it forks falls silent. If
    nobody reads any more, the watching process was killed: the program is then asked to end, too.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        self._lock = threading.Lock()
        self._pipe = identity(descriptor)
        os.set_inheritable(descriptor, False)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    @property
    def open(self) -> bool:
        """Whether anybody hears what is sent."""
        return self._descriptor is not None

    def send(self, message: dict[str, Any]) -> None:
        """Write one message; without anybody to hear it, do nothing."""
        line = memoryview(json.dumps(message, default=str).encode() + b"\n")
        with self._lock:
            descriptor = self._descriptor
            if descriptor is None:
                return
            try:
                # A program that closes every descriptor may have given this number to a file of its own.
                while line and identity(descriptor) == self._pipe:
                    line = line[os.write(descriptor, line) :]
            except BrokenPipeError:
                self._descriptor = None
                os.kill(os.getpid(), signal.SIGTERM)
            except OSError:
                self._descriptor = None
            if line:
                self._descriptor = None

    def _forked(self) -> None:
        self._lock = threading.Lock()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and identity(descriptor) == self._pipe:
            os.close(descriptor)


def messages(stream: BinaryIO) -> Iterator[dict[str, Any]]:
    """Yield what was sent, until the program is gone."""
    for line in stream:
        try:
            message = json.loads(line)
        except ValueError:  # the program was killed in the middle of a line
            continue
        if isinstance(message, dict) and "kind" in message:
            yield message


def identity(descriptor: int) -> tuple[int, int] | None:
    """Return what tells one open file from another, None where the descriptor is closed."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino
