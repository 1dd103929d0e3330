"""Threads and connections of a server over time, asked of the operating system and of PostgreSQL.

From outside: a process that is busy with what it started is slow to say how much that is.
"""

import contextlib
import threading
import time
from types import TracebackType
from typing import NamedTuple, Self

import psutil

from loopclinic.lessons.flask_bridge.ledger import Ledger

__all__ = ["Sample", "Watch"]

_EVERY = 0.04


class Sample(NamedTuple):
    """One look: seconds since the watch began, threads beyond those it had then, connections."""

    at: float
    threads: int
    connections: int


class Watch:
    """`with Watch(pid, dsn, name) as watch:` fills `watch.samples` until the block or the process ends.

    `name` is the one that the server's connections carry.
    """

    def __init__(self, pid: int | None, dsn: str, name: str) -> None:
        self.samples: list[Sample] = []
        self._pid = pid
        self._dsn = dsn
        self._name = name
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        # loopclinic: ignore[blocking-sync-primitive] a look takes milliseconds
        self._thread.join(5)

    def most(self, what: str) -> int:
        """Return the most `threads` or `connections` at one look."""
        return max((int(getattr(one, what)) for one in self.samples), default=0)

    def _run(self) -> None:
        with contextlib.suppress(psutil.Error), Ledger(self._dsn) as ledger:
            process = psutil.Process(self._pid)
            own, began = process.num_threads(), time.perf_counter()
            while not self._over.is_set():
                # Before it is waited for, a process that has ended has one thread.
                threads = max(0, process.num_threads() - own)
                links = ledger.count(self._name).open
                self.samples.append(Sample(time.perf_counter() - began, threads, links))
                self._over.wait(_EVERY)
