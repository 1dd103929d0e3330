"""The kinds of findings: each module looks for its own, and they are joined here."""

from collections.abc import Callable, Iterable

from loopclinic.scanner.findings import Finding
from loopclinic.scanner.kinds import (
    blocking,
    cancellation,
    guards,
    loops,
    order,
    resources,
    tasks,
    timeouts,
)
from loopclinic.scanner.survey import Survey

__all__ = ["DETECTORS"]

DETECTORS: tuple[Callable[[Survey], Iterable[Finding]], ...] = (
    blocking.detect,
    loops.detect,
    tasks.detect,
    cancellation.detect,
    order.detect,
    timeouts.detect,
    guards.detect,
    resources.detect,
)
