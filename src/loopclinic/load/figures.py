"""The figures that a comparison reports, once: name, unit, how to read it off vitals."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from loopclinic.load.vitals import Vitals
from loopclinic.units import duration

__all__ = ["FIGURES", "Figure", "figures_of"]


def _count(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:,.0f}"


def _rate(value: float) -> str:
    return f"{value:,.0f}/s" if value >= 100 else f"{value:.1f}/s"  # noqa: PLR2004


def _share(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.0%}"


def _watched(vitals: Vitals, count: int) -> float:
    """Return a count of a process that was looked into, or nan."""
    return math.nan if math.isnan(vitals.lag.max) else count


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a run: `read` takes it off vitals (nan: not to be had), `show` adds its unit.

    Values no further apart than `resolution` are equal.
    """

    name: str
    title: str
    read: Callable[[Vitals], float]
    show: Callable[[float], str] = duration
    resolution: float = 0.0


_MS = 0.001  # the generator's timers are that exact

FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure("makespan", "makespan", lambda v: v.makespan, resolution=_MS),
        Figure("throughput", "throughput", lambda v: v.throughput, _rate),
        Figure("p50", "latency p50", lambda v: v.latency.p50, resolution=_MS),
        Figure("p95", "latency p95", lambda v: v.latency.p95, resolution=_MS),
        Figure("p99", "latency p99", lambda v: v.latency.p99, resolution=_MS),
        Figure("max", "latency max", lambda v: v.latency.max, resolution=_MS),
        Figure("lag_p99", "lag p99", lambda v: v.lag.p99, resolution=_MS),
        Figure("lag_max", "lag max", lambda v: v.lag.max, resolution=_MS),
        Figure(
            "utilization",
            "loop busy",
            lambda v: math.nan if v.utilization is None else v.utilization,
            _share,
            resolution=0.01,
        ),
        Figure("peak_in_flight", "peak in flight", lambda v: v.peak_in_flight, _count),
        Figure("tasks", "tasks", lambda v: _watched(v, v.tasks), _count),
        Figure("threads", "threads", lambda v: _watched(v, v.threads), _count),
        Figure("errors", "errors", lambda v: sum(v.errors.values()), _count),
    )
}


def figures_of(batch: bool) -> tuple[Figure, ...]:
    """Return the figures worth a column: a batch has a makespan, everything else doesn't."""
    return tuple(f for f in FIGURES.values() if batch or f.name != "makespan")
