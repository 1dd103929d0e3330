"""Result of a comparison: figures by variant and round, and which of them differ."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, Self

from loopclinic.drawing.tables import Drawing
from loopclinic.load.comparison_figures import FIGURES, Figure
from loopclinic.load.comparison_views import comparison_drawing, leading_plot, rich_table
from loopclinic.load.conclusion import conclusion
from loopclinic.load.difference import Difference, difference
from loopclinic.load.plots import lag_plot, latency_plot
from loopclinic.load.request_schedule import Load
from loopclinic.load.vitals import Vitals
from loopclinic.runner.program_record import Place

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, repr=False)
class Comparison:
    """Vitals of variants that were measured in one interleaved run.

    `rounds[i][r]` is what variant `variants[i]` showed in round r. `bound` is in seconds.
    """

    variants: tuple[str, ...]
    rounds: tuple[tuple[Vitals, ...], ...]
    load: Load
    bound: float | None = None
    served: tuple[str, ...] = ()
    """What each variant turned out to be, such as `ASGI application`."""
    notes: tuple[str, ...] = ()
    """What is to be known of how it was measured, a sentence each."""

    def __getitem__(self, variant: str) -> tuple[Vitals, ...]:
        """Return the rounds of a variant; KeyError, with the names there are, if there is none."""
        if variant not in self.variants:
            raise KeyError(f"no variant {variant!r}: there are {', '.join(self.variants)}.")
        return self.rounds[self.variants.index(variant)]

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that requests belonged to, by name."""
        return tuple(sorted({name for runs in self.rounds for v in runs for name in v.groups}))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes the figures less than they seem, one sentence each, of the worst round."""
        late = max((v for runs in self.rounds for v in runs), key=lambda v: v.generator_lag.p99)
        found = [late.late_warning] if late.late_warning else []
        for name, runs in zip(self.variants, self.rounds, strict=True):
            failed = max(runs, key=lambda v: sum(v.errors.values()))
            if failed.failure_warning:
                found.append(f"{name}: {failed.failure_warning}")
        return (*found, *self.notes)

    def values(self, figure: str, variant: str, *, group: str | None = None) -> tuple[float, ...]:
        """Return a figure of each round; of one group's latency, if named (p50, p95, p99, max).

        KeyError, with the names there are, if there is no such figure or variant.
        """
        runs = self[variant]
        if group is not None:
            known = (run.groups.get(group) for run in runs)
            return tuple(float(getattr(one, figure)) if one else math.nan for one in known)
        return tuple(float(_figure(figure).read(run)) for run in runs)

    def median(self, figure: str, variant: str, *, group: str | None = None) -> float:
        """Return the median of a figure over the rounds; nan where no round has it."""
        known = [x for x in self.values(figure, variant, group=group) if not math.isnan(x)]
        return median(known) if known else math.nan

    def spread(self, figure: str, variant: str) -> tuple[float, float]:
        """Return the smallest and the largest of a figure over the rounds."""
        known = [x for x in self.values(figure, variant) if not math.isnan(x)]
        return (min(known), max(known)) if known else (math.nan, math.nan)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures that these rounds have: a batch has a makespan, few requests no p99."""
        fewest = min(len(run.latency.samples) for runs in self.rounds for run in runs)
        batch = self.load.jobs is not None
        known = (one for one in FIGURES.values() if batch or one.name != "makespan")
        return tuple(one for one in known if one.requests <= fewest)

    @property
    def most(self) -> str | None:
        """The group that more than half of the requests belong to, or None: the one to speak of."""
        counts = Counter[str]()
        for runs in self.rounds:
            for run in runs:
                counts.update({name: len(one.samples) for name, one in run.groups.items()})
        name, number = max(counts.items(), key=lambda item: item[1], default=("", 0))
        return name if 2 * number > counts.total() > 0 else None

    @property
    def headline(self) -> str:
        """What it comes to, in sentences; `No difference` where there is none."""
        return conclusion(self)

    def places(self, variant: str) -> tuple[Place, ...]:
        """Return the lines that stalled a variant's loops, in all rounds, the costliest first."""
        found: defaultdict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
        for run in self[variant]:
            for stall in run.stalls:
                found[stall.file, stall.line, stall.burst].append(stall.to_dict())
        places = (Place(tuple(stalls)) for stalls in found.values())
        return tuple(sorted(places, key=lambda place: -place.seconds))

    def difference(
        self,
        figure: str,
        variant: str | None = None,
        against: str | None = None,
        *,
        group: str | None = None,
    ) -> Difference:
        """Return how much more a figure of `variant` (the last) is than that of `against` (the first)."""
        return difference(
            self.values(figure, variant or self.variants[-1], group=group),
            self.values(figure, against or self.variants[0], group=group),
            resolution=_figure(figure).resolution,
        )

    def samples(self, variant: str, *, group: str | None = None) -> tuple[float, ...]:
        """Return the latencies of all rounds, in seconds; of one group, if named."""
        runs = self[variant]
        if group is None:
            return tuple(x for run in runs for x in run.latency.samples)
        return tuple(x for run in runs if group in run.groups for x in run.groups[group].samples)

    def plot(
        self, kind: Literal["slowest", "latency", "lag"] = "slowest", *, group: str | None = None
    ) -> Drawing:
        """Draw the slowest requests as bars, the latencies of all rounds, or the median round's lag."""
        if kind == "lag":
            ordered = (sorted(runs, key=lambda v: v.lag.max) for runs in self.rounds)
            typical = [runs[(len(runs) - 1) // 2] for runs in ordered]
            return lag_plot(dict(zip(self.variants, typical, strict=True)))
        if kind == "latency":
            series = {name: self.samples(name, group=group) for name in self.variants}
            return latency_plot(series, bound=self.bound, title=group or "")
        return leading_plot(self)

    def table(self) -> "Table":
        """Return the figures as a rich table, for a terminal."""
        return rich_table(self)

    def drawing(self) -> Drawing:
        """Draw the sentence, and one picture; table and distribution unfold below it."""
        return comparison_drawing(self)

    def __str__(self) -> str:
        return self.drawing().text

    __repr__ = __str__  # what a notebook keeps beside the drawing; the raw samples are no reading

    def _repr_html_(self) -> str:
        return self.drawing()._repr_html_()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; `from_dict` rebuilds the comparison."""
        medians = {
            name: {figure: _number(self.median(figure, name)) for figure in FIGURES}
            for name in self.variants
        }
        return {
            "schema": 1,
            "headline": self.headline,
            "variants": list(self.variants),
            "load": asdict(self.load),
            "bound": self.bound,
            "served": list(self.served),
            "notes": list(self.notes),
            "medians": medians,
            "differences": {name: self._differences(name) for name in self.variants[1:]},
            "rounds": [[vitals.to_dict() for vitals in runs] for runs in self.rounds],
        }

    def _differences(self, variant: str) -> dict[str, Any]:
        found = {one.name: asdict(self.difference(one.name, variant)) for one in self.figures}
        return {it: {key: _number(x) for key, x in one.items()} for it, one in found.items()}

    def to_json(self) -> str:
        """Return the comparison as JSON, samples included."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a comparison from `to_dict()`; ValueError if a newer loopclinic made it."""
        if values.get("schema") != 1:
            schema = values.get("schema")
            raise ValueError(f"comparison schema {schema!r} is unknown: update loopclinic.")
        return cls(
            variants=tuple(values["variants"]),
            rounds=tuple(tuple(map(Vitals.from_dict, runs)) for runs in values["rounds"]),
            load=Load(**values["load"]),
            bound=values["bound"],
            served=tuple(values.get("served", ())),
            notes=tuple(values.get("notes", ())),
        )


def _figure(name: str) -> Figure:
    if name not in FIGURES:
        raise KeyError(f"no figure {name!r}: there are {', '.join(FIGURES)}.")
    return FIGURES[name]


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
