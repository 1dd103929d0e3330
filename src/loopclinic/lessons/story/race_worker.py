"""Worker process of a benchmark (race or sweep): measures one variant."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from loopclinic.load.by_value import pack_value, unpack_value
from loopclinic.load.variant import name_of
from loopclinic.servers import ServerProcess
from loopclinic.servers.lifeline import ParentLink

Measure = Callable[..., Awaitable[Mapping[str, Any]]]
"""`await measure(way, **given)` returns figures by name, as JSON values."""


def worker(measure: Measure, way: Any = None) -> ServerProcess:
    """Return a process, not started, that answers `call(given)` by `measure(way, **given)`.

    A way typed in a notebook travels by value. All calls run on one loop, so `measure` may keep
    something in its module from one to the next; it all ends with the process.

    Raises:
        LoadError: the way refers to something of this process; the message names it.
    """
    name = measure.__name__ if way is None else name_of(way)
    spec = pack_value((measure, way), name, {name: way, measure.__name__: measure})
    return ServerProcess(__name__, spec, label=f"the process of '{name}'")


async def main(link: ParentLink) -> None:
    """Measure whenever the parent asks, until it is gone."""
    measure, way = unpack_value(link.spec)
    # What still runs at the end is not even cancelled: a hundred thousand tasks in a semaphore's
    # queue take minutes to leave it.
    await link.serve(sys.version, lambda given: measure(way, **given))
