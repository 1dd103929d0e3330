"""Vitals: what a run under load showed, such as latency, throughput, lag and errors."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from loopclinic.load.request_schedule import Load
from loopclinic.probe import CallbackShare, Frame, Lag, Share, Stall, Waiters, Waiting
from loopclinic.probe.stack import cell_label
from loopclinic.units import count, duration

_PERCENTILES = ("p50", "p95", "p99", "max")
_LATE = 0.005
"""Seconds: a generator later than this at its p99 is a result of its own."""


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest sample that at least `share` (0 to 1) of them don't exceed.

    `ordered` is ascending; nan where there are none. No interpolation: every figure was measured.
    """
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the moment a request was due to the last byte of its answer.

    A request that was given up counts with its timeout; one that failed otherwise doesn't count.
    `samples` are ascending; the percentiles are nan where there are none.
    """

    p50: float
    p95: float
    p99: float
    max: float
    samples: tuple[float, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, samples: Iterable[float]) -> Self:
        """Build the figures from samples in any order."""
        ordered = tuple(sorted(samples))
        p50, p95, p99, worst = (percentile(ordered, share) for share in (0.5, 0.95, 0.99, 1.0))
        return cls(p50, p95, p99, worst, ordered)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, the samples included; null where there are none."""
        named = {name: getattr(self, name) for name in _PERCENTILES}
        return {**_plain(named), "samples": list(self.samples)}


@dataclass(frozen=True, slots=True)
class Vitals:
    """What one run under load showed. Times in seconds.

    `throughput` is answers a second until the last one came (`makespan`). `lag`, `utilization`
    (0 to 1, or None) and `stalls` are the loop's, from the first due time to the last answer; lag is
    nan where no loop could be watched.
    `peak_in_flight` counts requests sent and not yet answered; `tasks` (one a request being
    handled, and what the variant makes) and `threads` are peaks beyond what there was before. `errors` counts failed requests by exception,
    `HTTP status`, or `timeout`.
    """

    throughput: float
    latency: Latency
    lag: Lag
    utilization: float | None
    sent: int
    answered: int
    peak_in_flight: int
    tasks: int
    threads: int
    makespan: float
    groups: Mapping[str, Latency] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    first_errors: Mapping[str, str] = field(default_factory=dict)
    """The first of each exception that the variant raised: its message and place."""
    stalls: tuple[Stall, ...] = ()
    lag_series: tuple[tuple[float, float], ...] = ()
    """(seconds, worst lag since the sample before), about twenty a second, stalls included."""
    generator_lag: Lag = field(default_factory=lambda: Lag(0.0, 0.0, 0.0, 0.0))
    """How late the load generator itself sent its requests: part of every latency above."""
    batch: bool = False
    """Whether the load was `Load(jobs=...)`: `makespan` is the figure to read."""

    @property
    def worst(self) -> Stall | None:
        """The longest stall, or None."""
        return max(self.stalls, key=lambda one: one.seconds, default=None)

    @property
    def late_warning(self) -> str:
        """A sentence if the load generator itself was late, else empty."""
        # A batch is due all at once, and sending it takes time: only a share of it is too much.
        allowed = max(_LATE, 0.1 * self.makespan) if self.batch else _LATE
        if self.generator_lag.p99 <= allowed:
            return ""
        return (
            f"The load generator was late by {duration(self.generator_lag.p99)} at its p99: "
            "the machine is too busy, and latencies hold that much of its own delay. "
            "Lower the rate or close other programs."
        )

    @property
    def failure_warning(self) -> str:
        """A sentence if requests failed, with the most frequent reason, else empty."""
        failed = sum(self.errors.values())
        if not failed:
            return ""
        kind = max(self.errors, key=lambda name: self.errors[name])
        example = self.first_errors.get(kind, kind)
        return f"{failed} of {self.sent} requests failed, most by {example}."

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes these figures less than they seem, one sentence each."""
        return tuple(filter(None, (self.late_warning, self.failure_warning)))

    @classmethod
    def of(cls, load: Load, played: Mapping[str, Any], measured: Mapping[str, Any]) -> Self:
        """Join what the generator's process played and what the server's process measured."""
        failed = {int(number): error for number, error in played["failed"].items()}
        everybody: list[float] = []
        groups: dict[str, list[float]] = {}
        for number, seconds in enumerate(played["latency"]):
            if failed.get(number, "timeout") != "timeout":
                continue
            everybody.append(seconds)
            name = load.group(number)
            if name is not None:
                groups.setdefault(name, []).append(seconds)
        sent = len(played["latency"])
        answered = sent - len(failed)
        late = Latency.of(played["late"])
        return cls(
            throughput=answered / max(played["makespan"], load.span, 1e-9),
            latency=Latency.of(everybody),
            groups={name: Latency.of(groups[name]) for name in sorted(groups)},
            sent=sent,
            answered=answered,
            errors=played["errors"],
            peak_in_flight=played["peak_in_flight"],
            makespan=played["makespan"],
            batch=load.jobs is not None,
            generator_lag=Lag(late.p50, late.p95, late.p99, late.max),
            **_measured(measured),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; `from_dict` rebuilds the vitals."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {
            "latency": self.latency.to_dict(),
            "groups": {name: latency.to_dict() for name, latency in self.groups.items()},
            "lag": _plain(self.lag.to_dict()),
            "generator_lag": self.generator_lag.to_dict(),
            "errors": dict(self.errors),
            "first_errors": dict(self.first_errors),
            "stalls": [stall.to_dict() for stall in self.stalls],
            "lag_series": [list(point) for point in self.lag_series],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild vitals from `to_dict()`."""
        plain = {**values, **_measured(values)}
        plain["latency"] = Latency.of(values["latency"]["samples"])
        groups = values["groups"].items()
        plain["groups"] = {name: Latency.of(latency["samples"]) for name, latency in groups}
        plain["generator_lag"] = Lag(**values["generator_lag"])
        return cls(**plain)

    def __str__(self) -> str:
        busy = "unknown" if self.utilization is None else f"{self.utilization:.0%}"
        at_once = f"{count(self.tasks, 'task')}, {count(self.threads, 'thread')}"
        lines = [
            f"{self.answered} of {self.sent} answered, {self.throughput:.1f}/s",
            f"latency  {_in_a_row(self.latency)}",
            f"lag      {_in_a_row(self.lag)}",
            f"loop busy {busy}, {count(len(self.stalls), 'stall')}",
            f"peaks    {self.peak_in_flight} in flight, {at_once}",
        ]
        if self.stalls:
            lines.append(f"worst stall: {self.worst}")
        lines += self.warnings
        return "\n".join(lines)


def _in_a_row(figures: Latency | Lag) -> str:
    return "  ".join(f"{name} {duration(getattr(figures, name))}" for name in _PERCENTILES)


def _measured(values: Mapping[str, Any]) -> dict[str, Any]:
    """Rebuild what a gauge reported from its JSON."""
    return {
        **{name: values[name] for name in ("utilization", "tasks", "threads", "first_errors")},
        "lag": Lag(**{name: _figure(value) for name, value in values["lag"].items()}),
        "stalls": tuple(_stall(stall) for stall in values["stalls"]),
        "lag_series": tuple((at, lag) for at, lag in values["lag_series"]),
    }


def _plain(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in figures.items()}


def _figure(value: float | None) -> float:
    return math.nan if value is None else value


def _stall(values: Mapping[str, Any]) -> Stall:
    known = {name: values[name] for name in Stall.__dataclass_fields__ if name in values}
    for name, kind in (("stack", Frame), ("lines", Share), ("handlers", CallbackShare)):
        fields = kind.__dataclass_fields__
        known[name] = tuple(
            kind(**{field: one[field] for field in fields if field in one})
            for one in known.get(name, ())
        )
    if known.get("waiting") is not None:
        found = known["waiting"]["groups"]
        groups = tuple(Waiters(**one | {"chain": tuple(one["chain"])}) for one in found)
        known["waiting"] = Waiting(**known["waiting"] | {"groups": groups})
    if known.get("cell") is None and known.get("file"):
        # The server's process doesn't know the notebook whose cell it runs; this one may.
        known["cell"] = cell_label(known["file"])
    return Stall(**known)
