"""Process that serves one variant of a comparison and measures its loop."""

import asyncio
from typing import Any

from loopclinic.load.by_value import unpack_value
from loopclinic.load.gauge import Gauge
from loopclinic.load.serve import LocalServer
from loopclinic.probe import Probe
from loopclinic.servers.lifeline import ParentLink


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
    async with LocalServer(unpack_value(link.spec)) as server, Probe() as probe:
        server.gauge = gauge = Gauge(probe, lambda: server.connections)
        link.ready({"port": server.port, "served": server.form})
        await gone.wait()
