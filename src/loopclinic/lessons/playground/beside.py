"""Measurement and expectation side by side, in words."""

import math
from dataclasses import dataclass
from typing import Any

from loopclinic.lessons.playground.forecast import Forecast
from loopclinic.lessons.playground.window import Moment
from loopclinic.units import duration

__all__ = ["NONE", "Row", "rows"]

NONE = "\N{EN DASH}"
"""Stands where there is no figure."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: measured, and expected by theory."""

    name: str
    measured: str
    expected: str
    note: str = ""

    def to_list(self) -> list[str]:
        """Return JSON values."""
        return [self.name, self.measured, self.expected, self.note]


def rows(
    moment: Moment | None, seen: Forecast, *, loop: float | None, place: float | None
) -> list[Row]:
    """Return the figures that theory speaks of.

    `loop` and `place` are the measured busy shares of the loop and of the narrowest place.
    """
    m: Any = moment
    none = moment is None
    found = [
        Row("p50", _time(m and m.p50), _expected(seen.p50)),
        Row("p99", _time(m and m.p99), _expected(seen.p99)),
        Row("mean", _time(m and m.mean), _expected(seen.mean)),
        Row("answered", _rate(m and m.answered), _rate(seen.throughput), _failures(moment)),
        Row(
            "in flight",
            NONE if none else f"{m.in_flight:.1f}",
            f"{seen.in_flight:.1f}" if seen.stable else "grows",
            "Little: rate \N{MULTIPLICATION SIGN} mean",
        ),
        Row(f"{seen.place} busy", _share(place), _share(min(seen.utilization, 1.0)), _of(seen)),
    ]
    if seen.place != "loop":
        found.append(Row("loop busy", _share(loop), _share(seen.loop)))
    return found


def _of(seen: Forecast) -> str:
    if seen.utilization >= 1:
        return f"asked for {seen.utilization:.0%}"
    return f"of {seen.places}" if seen.places > 1 else ""


def _failures(moment: Moment | None) -> str:
    if moment is None or not moment.reasons:
        return ""
    worst = next(iter(moment.reasons))
    return f"{moment.failed:.0f}/s failed, most by {worst}"


def _expected(seconds: float) -> str:
    return _time(seconds) if math.isfinite(seconds) else "grows"


def _time(seconds: float | None) -> str:
    return NONE if seconds is None or math.isnan(seconds) else duration(seconds)


def _rate(value: float | None) -> str:
    return NONE if value is None else f"{value:.0f}/s"


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.0%}"
