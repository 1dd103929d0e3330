"""Measures the server's loop during a load: utilization, lag, tasks, threads, connections."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loopclinic.probe import Probe, Snapshot

_EVERY = 0.05
_STACKS_KEPT = 50


@dataclass
class _Window:
    """What one run has shown so far."""

    first: Snapshot
    last: Snapshot
    tasks: int = 0
    threads: int = 0
    series: list[tuple[float, float]] = field(default_factory=list)


class Gauge:
    """Wraps a running probe: `begin()` and `end()` may be called from any thread.

    Tasks and threads are counted beyond what there was when the gauge was made; `connections`
    says how many tasks are not the variant's.
    """

    def __init__(self, probe: Probe, connections: Callable[[], int] = lambda: 0) -> None:
        self.probe = probe
        self._connections = connections
        self.first_errors: dict[str, str] = {}
        self._tasks = probe.census().tasks
        # One that ends is not to be taken off the variant's.
        self._threads = {*threading.enumerate()}
        self._window: _Window | None = None
        probe.subscribe(self._sample, every=_EVERY)

    def begin(self) -> None:
        """Start a run."""
        now = self.probe.snapshot()
        self.first_errors = {}
        self._window = _Window(now, now)

    def end(self) -> dict[str, Any]:
        """End the run; return its figures as JSON values. RuntimeError if none was begun."""
        self._sample()
        window, self._window = self._window, None
        if window is None:
            raise RuntimeError("no run to end: begin() one first.")
        now = self.probe.snapshot()
        span = now.since(window.first)
        current = self.probe.current()
        began = window.first.at
        stalls = [
            stall.to_dict() | {"started": stall.started - began}
            for stall in (*self.probe.stalls, *((current,) if current else ()))
            if stall.started + stall.seconds > began
        ]
        by_length = sorted(stalls, key=lambda stall: float(stall["seconds"]), reverse=True)
        for stall in by_length[_STACKS_KEPT:]:
            stall["stack"] = []
        lag = span.lag.to_dict()
        whole = [float(stall["seconds"]) for stall in by_length if float(stall["started"]) >= 0]
        if whole:
            # A stall is timed exactly, a snapshot's maximum to about 6 %.
            lag["max"] = max(whole[0], lag["p99"])
        return {
            "seconds": span.seconds,
            "lag": lag,
            "utilization": span.utilization,
            "tasks": max(0, window.tasks - self._tasks),
            "threads": window.threads,
            "stalls": stalls,
            "lag_series": window.series,
            "first_errors": self.first_errors,
        }

    def _sample(self) -> None:
        window = self._window
        if window is None:
            return
        now = self.probe.snapshot()
        if now.at <= window.last.at:
            return
        lag = max(now.since(window.last).lag.max, now.age)  # a stall grows while it lasts
        window.series.append((round(now.at - window.first.at, 4), round(lag, 6)))
        window.last = now
        window.tasks = max(window.tasks, self.probe.census().tasks - self._connections())
        window.threads = max(window.threads, len({*threading.enumerate()} - self._threads))
