"""Password computations that note in a file where and when they run, in whatever process or thread."""

import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from timeit import repeat
from typing import NamedTuple

SHORT, MIDDLE, LONG = 0.1, 0.4, 1.0
"""Seconds of a computation, by the first letter of the password."""
_SLEEPS = {"s": SHORT, "m": MIDDLE, "l": LONG}
_COST = 7
"""Of bcrypt, for passwords that begin with `b`: 10 ms to 30 ms."""
_LONGEST = 72
"""Bytes of a password, as in bcrypt."""


class WeakPasswordError(ValueError):
    """Raised for a password that begins with `w`."""


class Computation(NamedTuple):
    """One that ran: of what, for which password, where, and when on the clock of `time.monotonic`."""

    kind: str
    password: str
    process: int
    thread: int
    interpreter: int
    gil: bool
    """Whether its interpreter has a GIL."""
    began: float
    over: float | None
    """None while it runs."""


@dataclass(frozen=True)
class NotedPasswords:
    """Computes what the lab's `Passwords` does, and notes it in a file.

    The first letter of a password says how: `b` computes in earnest, `loops` times in pure Python; `s`, `m`
    and `l` sleep where a hash would be computed; `w` is too weak; any other takes no time.
    """

    notes: str
    loops: int = 0

    def hashed(self, password: str) -> bytes:
        """Return the hash of a password."""
        with self._noted("hashed", password):
            if len(password.encode()) > _LONGEST:
                raise ValueError(f"password cannot be longer than {_LONGEST} bytes")
            if password.startswith("b"):
                import bcrypt  # can't be imported in a subinterpreter

                return bcrypt.hashpw(password.encode(), bcrypt.gensalt(_COST))
            time.sleep(_SLEEPS.get(password[:1], 0.0))
            return hashlib.sha256(password.encode()).digest()

    def matches(self, password: str, hashed: bytes) -> bool:
        """Return whether the hash is that of this password."""
        with self._noted("matches", password):
            if password.startswith("b"):
                import bcrypt  # see above

                return bcrypt.checkpw(password.encode(), hashed)
            time.sleep(_SLEEPS.get(password[:1], 0.0))
            return hashed == hashlib.sha256(password.encode()).digest()

    def strength(self, password: str) -> int:
        """Return how strong a password is."""
        with self._noted("strength", password):
            if password.startswith("w"):
                raise WeakPasswordError("too weak")
            if password.startswith("b"):
                count_to(self.loops)
            return len(password)

    @contextmanager
    def _noted(self, kind: str, password: str) -> Iterator[None]:
        gil = getattr(sys, "_is_gil_enabled", lambda: True)()
        where = (*here(), gil)
        self._append(kind, password, *where, time.monotonic())
        try:
            yield
        finally:
            self._append(kind, password, *where, None, time.monotonic())

    def _append(self, *values: object) -> None:
        # One write each: the lines of several processes do not mix.
        file = os.open(self.notes, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        try:
            os.write(file, (json.dumps(values) + "\n").encode())
        finally:
            os.close(file)

    def computations(self) -> list[Computation]:
        """Return what was noted so far, in the order in which it began."""
        path, found = Path(self.notes), list[Computation]()
        # loopclinic: ignore[blocking-file-io] a short file, between two steps of a check
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            *what, began, over = (*json.loads(line), None)[:8]
            if began is not None:
                found.append(Computation._make([*what, began, None]))
                continue
            place = next(n for n, one in enumerate(found) if [*one[:6]] == what and not one.over)
            found[place] = found[place]._replace(over=over)
        return found


def count_to(loops: int) -> int:
    """Compute in pure Python."""
    found = 0
    for number in range(loops):
        found = (found * 31 + number) % 1_000_003
    return found


def loops_for(seconds: float) -> int:
    """Return how many loops take this thread at least so many seconds of a processor."""
    loops, took = 20_000, 0.0
    while took < seconds / 8:
        loops *= 2  # three times each: others slow down some
        took = min(repeat(partial(count_to, loops), timer=time.thread_time, number=1, repeat=3))
    return int(loops * seconds / took)


def here() -> tuple[int, int, int]:
    """Return process, thread and interpreter of who calls this."""
    interpreter = 0
    if sys.version_info >= (3, 14):
        from concurrent import interpreters  # new in 3.14

        interpreter = interpreters.get_current().id
    return os.getpid(), threading.get_native_id(), interpreter
