"""When two variants differ, and when they don't: one rule, stated."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["ENOUGH", "RULE", "Difference", "difference"]

ENOUGH = 3
"""Rounds from which on a difference is told."""
_SMALLEST = 0.05

RULE = (
    "A difference is one that every round shows on the same side, with a median ratio beyond "
    f"{_SMALLEST:.0%}; anything else is 'no difference'. Rounds are paired: round r brings every "
    "variant the same arrivals."
)


@dataclass(frozen=True, slots=True)
class Difference:
    """How one figure of a variant relates to the same figure of another, round by round.

    `ratio`, `low` and `high` are the median, smallest and largest of the rounds' ratios; nan where
    no round has one. `found` is None where there are too few rounds to tell.
    """

    ratio: float
    low: float
    high: float
    found: bool | None

    def __str__(self) -> str:
        if self.found is False:
            return "no difference"
        if math.isnan(self.ratio):
            return "only one of them is 0" if self.found else "not measured"
        words = f"{_times(self.ratio)} ({_times(self.low)} to {_times(self.high)})"
        return words if self.found else f"{words}, too few rounds to tell"


def difference(
    values: Sequence[float], against: Sequence[float], *, resolution: float = 0.0
) -> Difference:
    """Judge the rounds of one figure against the rounds of another; see `RULE`.

    `resolution` is what the figure can't tell apart: values that close count as equal.
    """
    pairs = [
        (value, other)
        for value, other in zip(values, against, strict=True)
        if not (math.isnan(value) or math.isnan(other))
    ]
    sides = {_side(value, other, resolution) for value, other in pairs}
    ratios = [value / other for value, other in pairs if other > 0]
    one_sided = len(sides) == 1 and 0 not in sides
    if not ratios:
        return Difference(math.nan, math.nan, math.nan, one_sided if pairs else None)
    middle = median(ratios)
    apart = one_sided and (middle == 0 or abs(math.log(middle)) > math.log1p(_SMALLEST))
    found = apart if len(pairs) >= ENOUGH else None
    return Difference(middle, min(ratios), max(ratios), found)


def _side(value: float, other: float, resolution: float) -> int:
    if abs(value - other) <= resolution:
        return 0
    return 1 if value > other else -1


def _times(ratio: float) -> str:
    """Return a ratio in words: `x12`, `x1.3`, or `÷4.0` for a quarter."""
    if 0 < ratio < 1:
        return f"÷{_digits(1 / ratio)}"
    return f"x{_digits(ratio)}"


def _digits(ratio: float) -> str:
    if ratio >= 10:  # noqa: PLR2004
        return f"{ratio:,.0f}"
    return f"{ratio:.1f}" if ratio >= 1.95 else f"{ratio:.2f}"  # noqa: PLR2004
