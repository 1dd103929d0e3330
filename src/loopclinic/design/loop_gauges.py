"""Measures every event loop inside a command under comparison, round by round."""

import asyncio
import contextlib
import json
import os
import platform
import signal
import socket
import threading
import weakref
from functools import partial
from time import perf_counter
from typing import Any

from loopclinic.load.gauge import Gauge
from loopclinic.probe import Probe
from loopclinic.runner.running_loops import RunningLoops

_AT_ONCE = 16
"""Loops that are watched side by side; of more, only the number is known."""
_MANY = 5


class LoopGauges:
    """A gauge for each loop that runs; `begin()` and `end()` are a round."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[asyncio.AbstractEventLoop, tuple[Probe, Gauge, float]] = {}
        self._known: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        self._done: list[dict[str, Any]] = []
        self._began: float | None = None
        self._loops = 0

    def began(self, loop: asyncio.AbstractEventLoop) -> None:
        """Measure a loop that begins to run."""
        with self._lock:
            if loop not in self._known:
                self._known.add(loop)
                self._loops += 1
            if loop in self._running or len(self._running) >= _AT_ONCE:
                return
        probe = Probe(loop=loop).start()
        gauge = Gauge(probe)
        with self._lock:
            self._running[loop] = probe, gauge, perf_counter()
            if self._began is not None:
                gauge.begin()

    def ended(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep what is known of a loop that stopped."""
        with self._lock:
            found = self._running.pop(loop, None)
            if found is None:
                return
            probe, gauge, since = found
            if self._began is not None:
                self._done.append(_shifted(gauge.end(), max(0.0, since - self._began)))
        probe.stop()

    def begin(self) -> None:
        """Begin a round."""
        with self._lock:
            self._done, self._loops, self._began = [], 0, perf_counter()
            for _, gauge, _ in self._running.values():
                gauge.begin()

    def end(self) -> dict[str, Any]:
        """End the round: the loop that ran longest gives the figures, all of them the stalls."""
        with self._lock:
            began, self._began = self._began or perf_counter(), None
            found, loops = [*self._done], self._loops
            for _, gauge, since in self._running.values():
                found.append(_shifted(gauge.end(), max(0.0, since - began)))
        if not found:
            return {}
        longest = max(found, key=lambda one: float(one["seconds"]))
        stalls = sorted((s for one in found for s in one["stalls"]), key=lambda s: s["started"])
        many = f"{loops} event loops were begun in a round (loop-per-call): lag and utilization "
        many += "are those of the one that ran longest"
        most = {name: max(one[name] for one in found) for name in ("tasks", "threads")}
        return {**longest, **most, "stalls": stalls, "notes": [many] if loops > _MANY else []}


def _shifted(measured: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Count from the beginning of the round, and not of the loop."""
    return {
        **measured,
        "stalls": [{**one, "started": one["started"] + seconds} for one in measured["stalls"]],
        "lag_series": [(at + seconds, lag) for at, lag in measured["lag_series"]],
    }


def observe(*, channel: int) -> None:
    """Measure every loop of this process from now on, and answer who asks by a socket."""
    link = socket.socket(fileno=channel)
    os.set_inheritable(channel, False)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=link.close)
    gauges = LoopGauges()
    RunningLoops(gauges.began, gauges.ended).install()
    link.sendall(_line({"python": platform.python_version()}))
    answer = partial(_answer, link, gauges)
    threading.Thread(target=answer, name="loopclinic-gauges", daemon=True).start()


def _answer(link: socket.socket, gauges: LoopGauges) -> None:
    with contextlib.suppress(OSError, ValueError), link.makefile("rb") as calls:
        for call in calls:
            if call.strip() == b"begin":
                gauges.begin()
                link.sendall(_line(None))
            else:
                link.sendall(_line(gauges.end()))
    # Nobody asks any more: whoever started this program is gone.
    os.kill(os.getpid(), signal.SIGTERM)


def _line(value: Any) -> bytes:
    return json.dumps(value, default=str).encode() + b"\n"
