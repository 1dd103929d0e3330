"""Tables of measured beside predicted figures, for the run in progress and for each step of a story."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from loopclinic.drawing.tables import Drawing, bold, span, table
from loopclinic.lessons.playground.forecast import Forecast
from loopclinic.lessons.playground.settings import Settings, in_words
from loopclinic.units import duration

if TYPE_CHECKING:
    from loopclinic.lessons.playground.live_figures import Moment
    from loopclinic.lessons.playground.update_thread import Seen

NONE = "\N{EN DASH}"
"""Stands where there is no figure."""


class Row(NamedTuple):
    """One figure: measured, and expected by theory."""

    name: str
    measured: str
    expected: str
    note: str = ""


def rows(
    moment: "Moment | None", seen: Forecast, *, loop: float | None, place: float | None
) -> list[Row]:
    """Return the figures that theory speaks of.

    `loop` and `place` are the measured busy shares of the loop and of the narrowest place.
    """
    m: Any = moment
    in_flight = (
        f"{m.in_flight:.1f}" if m else NONE,
        f"{seen.in_flight:.1f}" if seen.stable else "grows",
    )
    times = ("p50", "p99", "mean")
    found = [
        *(Row(one, _shown(m and getattr(m, one)), _shown(getattr(seen, one))) for one in times),
        Row("answered", _rate(m and m.answered), _rate(seen.throughput), _failures(moment)),
        Row("in flight", *in_flight, "Little: rate \N{MULTIPLICATION SIGN} mean"),
        Row(f"{seen.place} busy", _share(place), _share(min(seen.utilization, 1.0)), _of(seen)),
    ]
    if seen.place != "loop":
        found.append(Row("loop busy", _share(loop), _share(seen.loop)))
    return found


def _of(seen: Forecast) -> str:
    if seen.utilization >= 1:
        return f"asked for {seen.utilization:.0%}"
    return f"of {seen.places}" if seen.places > 1 else ""


def _failures(moment: "Moment | None") -> str:
    if moment is None or not moment.reasons:
        return ""
    return f"{moment.failed:.0f}/s failed, most by {next(iter(moment.reasons))}"


def _shown(seconds: float | None, write: Callable[[float], str] = duration) -> str:
    if seconds is None or math.isnan(seconds):
        return NONE
    return "grows" if math.isinf(seconds) else write(seconds)


def _rate(value: float | None) -> str:
    return NONE if value is None else f"{value:.0f}/s"


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.0%}"


def results(seen: Sequence["Seen"], sentence: str = "") -> Drawing:
    """Draw a row for each step: what was changed, mean and p99 measured and expected, answers."""
    found, before = [], Settings()
    for one in seen:
        changed = in_words(before.changes(one.step.settings)) or "as it begins"
        before, expected = one.step.settings, one.expected
        moment: Any = one.moment
        cells = (
            _shown(moment and moment.mean, span),
            _shown(expected.mean, span),
            _shown(moment and moment.p99, span),
            _shown(expected.p99, span),
            _rate(moment and moment.answered),
            _rate(expected.throughput),
        )
        found.append([bold(changed, "\n".join(expected.broken)), *cells])
    heads = ("", "mean", "by theory", "p99", "by theory", "answered", "by theory")
    return table(heads, found, title=bold(sentence) if sentence else "")
