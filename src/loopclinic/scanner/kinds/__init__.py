"""Detectors of the scanner: each module finds its own kinds of conflicts."""

from collections.abc import Callable, Iterable

from loopclinic.scanner.detector_input import Survey
from loopclinic.scanner.finding import Finding
from loopclinic.scanner.kinds import (
    await_order,
    blocking,
    connections,
    event_loops,
    sync_guards,
    tasks,
)

__all__ = ["DETECTORS"]

DETECTORS: tuple[Callable[[Survey], Iterable[Finding]], ...] = tuple(
    one.detect for one in (blocking, event_loops, tasks, await_order, sync_guards, connections)
)
