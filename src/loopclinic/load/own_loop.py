"""A load on the running loop itself: the notebook's own, which may freeze while the load does not."""

from typing import Any

from loopclinic.load.gauge import Gauge
from loopclinic.load.schedule import Load
from loopclinic.load.station import Station
from loopclinic.load.variant import Target, Variant
from loopclinic.load.vitals import Vitals
from loopclinic.probe import Probe
from loopclinic.servers import ServerProcess

__all__ = ["drive", "generator"]


def generator() -> ServerProcess:
    """Return the load generator's process, not started."""
    return ServerProcess("loopclinic.load.generator", label="load generator")


def patience(load: Load) -> float:
    """Seconds after which a generator that says nothing is given up: it never should be."""
    return load.span + load.timeout + 30.0


async def drive(variant: Variant | Target, load: Load | None = None) -> Vitals:
    """Serve a variant on the RUNNING loop and put it under load from another process.

    In a notebook this is the kernel's own loop: a variant that blocks freezes the kernel, while
    requests keep arriving. For figures to compare, use `compare`: there each variant has a
    process of its own.

    Raises:
        LoadError: the variant can't be served.
        ServerError: the load generator's process didn't start or died.
        UnsupportedLoopError: the probe can't measure this kind of loop.
    """
    if not isinstance(variant, Variant):
        variant = Variant(variant)
    load = load or Load()
    async with generator() as source, Station(variant) as station:
        with Probe() as probe:
            station.gauge = gauge = Gauge(probe, lambda: station.connections)
            gauge.begin()
            order = load.order(station.port)
            played: dict[str, Any] = await source.call_async(order, timeout=patience(load))
            return Vitals.of(load, played, gauge.end())
