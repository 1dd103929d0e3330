"""Finds Pythons among a program's descendants that could not be watched, and why."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

from loopclinic.runner import startup

STARTUP = str(Path(startup.__file__).parent)
"""The folder whose sitecustomize watches a Python from its beginning."""
_PERIOD = 0.5  # seconds between two looks


class Unwatched:
    """Looks for Pythons among a program's descendants that were started without our environment (Linux)."""

    def __init__(self, pid: int) -> None:
        self._pid, self._due = pid, 0.0
        self._known: set[tuple[int, str]] = set()
        self._found: dict[tuple[int, str], dict[str, Any]] = {}

    def look(self) -> None:
        """Look once every half second; what began and ended in between is missed."""
        if sys.platform != "linux" or monotonic() < self._due:
            return
        self._due = monotonic() + _PERIOD
        for pid in descendants(self._pid):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                self._add(pid)

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield a message `unwatched` for each."""
        yield from self._found.values()

    def _add(self, pid: int) -> None:
        home = Path("/proc", str(pid))
        command = (home / "cmdline").read_bytes().split(b"\0")[:-1]
        key = pid, os.fsdecode(b" ".join(command))
        if key in self._known or not command:
            return
        self._known.add(key)
        # The link's target also tells a Python that a script's first line started.
        program = (home / "exe").readlink().name
        if not program.startswith(("python", "pypy")):
            return
        words = [os.fsdecode(word) for word in command]
        if b"LOOPCLINIC_RUN=" not in (home / "environ").read_bytes():
            reason = "it was started with an environment of its own"
        elif flag := _isolated(words):
            reason = f"it was started with {flag}"
        else:
            return
        self._found[key] = {"kind": "unwatched", "pid": pid, "command": words, "reason": reason}


def _isolated(words: list[str]) -> str | None:
    """Return the option that keeps a Python from running our sitecustomize, or None."""
    for word in words[1:]:
        if not word.startswith("-") or word in ("-m", "-c", "-"):
            return None
        for letter in word[1:]:
            if letter in "IES":
                return word
            if letter in "WXcm-":  # what follows is its value
                break
    return None


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes that a process started, and those that these started: proc(5), children."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - a thousand times a run
    except OSError:
        return
    for thread in threads:
        try:
            text = Path(f"/proc/{pid}/task/{thread}/children").read_text("ascii")
        except OSError:
            continue
        for word in text.split():
            yield int(word)
            yield from descendants(int(word))
