"""Attaches probes to loops: one meter for all probes of a loop, made with the first, removed with the last."""

import asyncio
import os
import threading
from time import perf_counter
from typing import TYPE_CHECKING

from loopclinic.probe import garbage
from loopclinic.probe.blocking_frames import call_index
from loopclinic.probe.heartbeat import HeartbeatMeter
from loopclinic.probe.meter import Clock, Meter, UnsupportedLoopError
from loopclinic.probe.watchdog import Watchdog

if TYPE_CHECKING:
    from loopclinic.probe.probe import Probe

_meters: dict[asyncio.AbstractEventLoop, Meter] = {}
_lock = threading.Lock()


def attach(loop: asyncio.AbstractEventLoop, sink: "Probe", clock: Clock | None = None) -> Meter:
    """Return the loop's meter, made and started if it has none, with `sink` joined.

    A `clock` of the caller's own makes a meter without a watchdog thread: the caller looks.

    Raises:
        UnsupportedLoopError: the loop has neither a selector nor timers.
        RuntimeError: the loop is closed.
    """
    with _lock:
        meter = _meters.get(loop)
        if meter is None:
            call_index().grow()  # now: while a call keeps the GIL, the watchdog can't
            meter = _meter(loop, clock or perf_counter)
            meter.install()
            _meters[loop] = meter
            garbage.listen()
            meter.join(sink)
            if clock is None:
                meter.watchdog.start(abandon)
        else:
            meter.join(sink)
        return meter


def detach(meter: Meter, sink: "Probe") -> None:
    """Take `sink` off its meter, and the meter off its loop with the last one."""
    with _lock:
        meter.leave(sink)
        last = not meter.sinks
        if last:
            _take_off(meter)
    if last:
        meter.watchdog.stop()


def abandon(meter: Meter) -> None:
    """Take a meter off a loop that was closed under it: its probes keep what they have."""
    with _lock:
        _take_off(meter)


def _take_off(meter: Meter) -> None:
    if _meters.pop(meter.loop, None) is not None:
        meter.remove()
        garbage.unlisten()


def _meter(loop: asyncio.AbstractEventLoop, clock: Clock) -> Meter:
    selector = getattr(loop, "_selector", None)
    if hasattr(selector, "select") and hasattr(selector, "__dict__"):
        return Meter(loop, clock, Watchdog)
    if not all(hasattr(loop, name) for name in ("call_later", "call_soon_threadsafe")):
        raise UnsupportedLoopError(
            f"{type(loop).__module__}.{type(loop).__qualname__} has no selector and no timers that "
            "could be measured: run your program on asyncio.SelectorEventLoop."
        )
    if loop.is_closed():
        raise RuntimeError("This event loop is closed: start the probe on one that still runs.")
    return HeartbeatMeter(loop, clock, Watchdog)


def _in_child() -> None:
    """Leave a forked child as if there were no probe: the watchdogs' threads stayed behind."""
    global _lock  # noqa: PLW0603 - a thread of the parent may have held it
    _lock = threading.Lock()
    garbage.forget()
    for meter in list(_meters.values()):
        meter.sinks = ()
        meter.remove()
    _meters.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
