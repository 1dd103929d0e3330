"""`drive`: serves a variant on the running loop and loads it from another process."""

from typing import Any

from loopclinic.load.gauge import Gauge
from loopclinic.load.request_schedule import Load
from loopclinic.load.serve import LocalServer
from loopclinic.load.variant import Target, Variant
from loopclinic.load.vitals import Vitals
from loopclinic.probe import Probe
from loopclinic.servers import ServerProcess


def generator() -> ServerProcess:
    """Return the load generator's process, not started."""
    return ServerProcess("loopclinic.load.generator", label="load generator")


def patience(load: Load) -> float:
    """Return the seconds after which a silent generator is given up."""
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
    async with generator() as source, LocalServer(variant) as server:
        with Probe() as probe:
            server.gauge = gauge = Gauge(probe, lambda: server.connections)
            gauge.begin()
            order = load.order(server.port)
            played: dict[str, Any] = await source.call_async(order, timeout=patience(load))
            return Vitals.of(load, played, gauge.end())
