"""Figures that a comparison reports: name, unit, and how each is read from `Vitals`."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from loopclinic.load.vitals import Vitals
from loopclinic.units import duration


def _count(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:,.0f}"


def _rate(value: float) -> str:
    return f"{value:,.0f}/s" if value >= 100 else f"{value:.1f}/s"


def _share(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.0%}"


def _busy(vitals: Vitals) -> float:
    return math.nan if vitals.utilization is None else vitals.utilization


def _watched(vitals: Vitals, count: int) -> float:
    """Return a count of a process that was looked into, or nan."""
    return math.nan if math.isnan(vitals.lag.max) else count


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a run: `read` takes it off vitals (nan: not to be had), `show` adds its unit.

    Values no further apart than `resolution` are equal. A percentile is one from `requests` a round on:
    two of them are beyond it. `gap` shows a difference, where its unit is another one.
    """

    name: str
    title: str
    read: Callable[[Vitals], float]
    show: Callable[[float], str] = duration
    resolution: float = 0.0
    requests: int = 0
    gap: Callable[[float], str] | None = None

    def difference(self, value: float) -> str:
        """Return a difference of two such figures with its unit."""
        return (self.gap or self.show)(value)


def _points(value: float) -> str:
    return f"{100 * value:.0f} points"


_MS = 0.001  # the generator's timers are that exact

FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure("makespan", "makespan", lambda v: v.makespan, resolution=_MS),
        Figure("max", "slowest request", lambda v: v.latency.max, resolution=_MS),
        Figure("p50", "median request", lambda v: v.latency.p50, resolution=_MS),
        Figure("p95", "latency p95", lambda v: v.latency.p95, resolution=_MS, requests=40),
        Figure("p99", "latency p99", lambda v: v.latency.p99, resolution=_MS, requests=200),
        Figure("throughput", "throughput", lambda v: v.throughput, _rate),
        Figure("lag_p99", "lag p99", lambda v: v.lag.p99, resolution=_MS),
        Figure("lag_max", "lag max", lambda v: v.lag.max, resolution=_MS),
        Figure("utilization", "loop busy", _busy, _share, resolution=0.01, gap=_points),
        Figure("peak_in_flight", "peak in flight", lambda v: v.peak_in_flight, _count),
        Figure("tasks", "tasks", lambda v: _watched(v, v.tasks), _count),
        Figure("threads", "threads", lambda v: _watched(v, v.threads), _count),
        Figure("errors", "errors", lambda v: sum(v.errors.values()), _count),
    )
}
