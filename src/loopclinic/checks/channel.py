"""The child's side of the line to its supervisor: JSON lines on a pipe of its own, and the stage."""

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

__all__ = ["REPORTED", "Channel", "ChildStage"]

REPORTED = 20
"""Errors that are reported of asyncio's exception handler: enough to see a pattern."""

_write = os.write
_pid = os.getpid


class Channel:
    """Sends JSON lines to the supervisor from any thread, marked so that noise is told apart."""

    def __init__(self, number: int) -> None:
        self.fd = _descriptor(number)
        os.set_inheritable(self.fd, False)
        self._mark = b""
        self._lock = threading.Lock()
        self._owner = _pid()

    def open(self, mark: str) -> None:
        """Use `mark` in front of every line from here on."""
        self._mark = mark.encode()

    def send(self, kind: str, **values: Any) -> None:
        """Send one line.

        Raises:
            TypeError: a value is not a JSON value.
        """
        if _pid() != self._owner:
            return  # a fork of the lab must not speak for the trial
        data = self._mark + json.dumps({"kind": kind, **values}).encode() + b"\n"
        with self._lock:
            while data:
                data = data[_write(self.fd, data) :]


def _descriptor(number: int) -> int:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - only there

        return msvcrt.open_osfhandle(number, os.O_WRONLY)
    return number


class ChildStage:
    """The stage that a rehearsal is given (see `loopclinic.lessons.Stage`)."""

    def __init__(
        self,
        channel: Channel,
        seed: int,
        folder: Path,
        services: Mapping[str, str],
        antipattern: Callable[[], ModuleType],
    ) -> None:
        self.seed = seed
        self.rng = Random(seed)  # noqa: S311 - replayable chance is the point
        self.folder = folder
        self.services = services
        self._channel = channel
        self._antipattern = antipattern

    @property
    def antipattern(self) -> ModuleType:
        """The lab as shipped."""
        return self._antipattern()

    def step(self, name: str) -> None:
        """Say what is tried now."""
        self._channel.send("step", name=name)

    def fact(self, name: str, value: Any) -> None:
        """Report one finding, a JSON value."""
        try:
            self._channel.send("fact", name=name, value=value)
        except TypeError as error:
            raise TypeError(f"fact {name!r} must be a JSON value: {error}") from error
