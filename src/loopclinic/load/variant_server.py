"""The process of one variant under comparison: serves it, and measures its loop."""

import asyncio
from typing import Any

from loopclinic.load.gauge import Gauge
from loopclinic.load.station import Station
from loopclinic.load.travel import unpack
from loopclinic.probe import Probe
from loopclinic.servers.lifeline import ParentLink

__all__ = ["main"]


async def main(link: ParentLink) -> None:
    """Serve until the parent is gone, then leave the variant's setup as it asks for."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    gauge: Gauge | None = None

    def answer(call: str) -> dict[str, Any] | None:
        # On the lifeline's thread: it answers also while the loop is stuck.
        if gauge is None:
            raise RuntimeError("not ready yet")
        if call == "begin":
            gauge.begin()
            return None
        return gauge.end()

    def leave() -> None:
        loop.call_soon_threadsafe(gone.set)

    # Before the variant is set up: a parent that dies meanwhile must not leave it behind.
    link.listen(answer, on_end=leave)
    async with Station(unpack(link.spec)) as station, Probe() as probe:
        station.gauge = gauge = Gauge(probe, lambda: station.connections)
        link.ready({"port": station.port, "served": station.form})
        await gone.wait()
