"""A fake loop with a manual clock and selector, and a helper that suspends a process as a machine does."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psutil

from loopclinic.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeSelector:
    def __init__(self, clock: FakeLoop) -> None:
        self.loop = clock
        self.fails: BaseException | None = None
        self.meanwhile = lambda: None

    def select(self, timeout: float | None = None) -> list[object]:
        if timeout is None or timeout > 0:
            self.loop.now += self.loop.wait
            self.meanwhile()
        if self.fails is not None:
            raise self.fails
        return []


class FakeLoop:
    """`idle(s)` lets the selector wait, `busy(s)` lets one iteration last."""

    def __init__(self) -> None:
        self.now = 100.0
        self.wait = 0.0
        self.runs = True
        self._selector = FakeSelector(self)
        self._thread_id = threading.get_ident()

    def is_running(self) -> bool:
        return self.runs

    def is_closed(self) -> bool:
        return False

    def clock(self) -> float:
        return self.now

    time = clock

    def call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        callback()

    def idle(self, seconds: float) -> None:
        self.wait = seconds
        self._selector.select(seconds or None)

    def busy(self, seconds: float) -> None:
        """Let the iteration last, then go through a `select` that does not wait."""
        self.now += seconds
        self._selector.select(0)

    def probe(self, **options: object) -> Probe:
        return Probe(loop=self, _clock=self.clock, **options)

    def look(self, probe: Probe, seconds: float, every: float = 0.005) -> None:
        """Let the iteration last, with the watchdog looking on."""
        watchdog = probe._meter.watchdog
        end = self.now + seconds
        while self.now + every <= end:
            self.now += every
            watchdog.look()
            probe.tick(self.now)
        self.now = end


def stand_still(pid: int, seconds: float) -> int:
    """Stop a program and its children for a while, soon from now; return how many processes that were."""
    own = psutil.Process(pid)
    family = [own, *own.children(recursive=True)]
    time.sleep(0.1)
    for process in family:
        process.suspend()
    time.sleep(seconds)
    for process in reversed(family):
        process.resume()
    return len(family)
