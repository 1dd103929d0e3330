"""The service's process: serves it, measures its loop, and takes new settings meanwhile."""

import asyncio
import contextlib
import gc
from typing import Any

from loopclinic.lessons.catalogue import treatments
from loopclinic.lessons.playground.service import Service
from loopclinic.lessons.playground.settings import Settings
from loopclinic.load.station import Station
from loopclinic.load.variant import Variant
from loopclinic.probe import Probe
from loopclinic.scope.recorder import Recorder
from loopclinic.servers.lifeline import ParentLink

__all__ = ["main"]

_BACKLOG = 512  # callers of the longest block at the highest rate: 1 s, 500 a second


async def main(link: ParentLink) -> None:
    """Serve until the parent is gone."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    turning: set[asyncio.Task[None]] = set()
    service = Service(link.spec["upstream"], Settings.of(link.spec["settings"]))
    recorder: Recorder | None = None

    def turn(wanted: dict[str, Any]) -> None:
        task = loop.create_task(service.turn(Settings.of(wanted["settings"]), wanted["dsn"]))
        turning.add(task)
        task.add_done_callback(turning.discard)

    def answer(call: dict[str, Any]) -> dict[str, Any] | None:
        # On the lifeline's thread: it answers also while the loop is stuck.
        if "turn" in call:
            loop.call_soon_threadsafe(turn, call["turn"])
            return None
        assert recorder is not None
        if "history" in call:
            return recorder.history()
        snapshot = probe.snapshot()
        totals = {"at": snapshot.at, "idle": snapshot.idle if snapshot.exact else None}
        return {"tick": recorder.tick(), "service": service.figures() | totals}

    def leave() -> None:
        loop.call_soon_threadsafe(gone.set)

    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(service.close)
        station = await stack.enter_async_context(
            Station(Variant(service.handle), backlog=_BACKLOG)
        )
        probe = stack.enter_context(Probe(witness=True))
        recorder = Recorder(probe, treatments())
        gc.freeze()  # what the imports made: looking through it takes the loop 20 ms and more
        link.listen(answer, on_end=leave)
        link.ready({"port": station.port})
        await gone.wait()
