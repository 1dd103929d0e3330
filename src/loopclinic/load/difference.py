"""Decides whether two variants differ in a figure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

ENOUGH = 3
"""Rounds from which on a difference is told."""
_SMALLEST = 0.05
# Student's t, two-sided 95 %, by degrees of freedom from 1 on; the last one stands for all above.
_STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)

RULE = (
    "Two variants differ in a figure if the 95 % interval of their difference leaves out zero "
    f"(Student's t over the rounds, paired: all get the same arrivals), by {_SMALLEST:.0%} or more. "
    "Everything else is 'no difference'."
)


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more one figure of a variant is than the same figure of another, in its own unit.

    `mean` is the mean of the rounds' differences, `low` to `high` its 95 % interval; nan where too few
    rounds have the figure. `found` is whether the variants differ by `RULE`, None where none can tell.
    """

    mean: float
    low: float
    high: float
    found: bool | None

    def words(self, show: Callable[[float], str]) -> str:
        """Return the interval in words: `228 ms to 258 ms less`, `no difference`."""
        if self.found is None:
            return "too few rounds to tell" if not math.isnan(self.mean) else "not measured"
        if not self.found:
            return "no difference"
        least, most = sorted((abs(self.low), abs(self.high)))
        around = show(most) if show(least) == show(most) else f"{show(least)} to {show(most)}"
        return f"{around} {'more' if self.mean > 0 else 'less'}"


def difference(
    values: Sequence[float], against: Sequence[float], *, resolution: float = 0.0
) -> Difference:
    """Judge the rounds of one figure against the rounds of another; see `RULE`.

    `resolution` is what the figure can't tell apart: an interval that near to zero counts as none.
    """
    pairs = [
        (value, other)
        for value, other in zip(values, against, strict=True)
        if not (math.isnan(value) or math.isnan(other))
    ]
    if not pairs:
        return Difference(math.nan, math.nan, math.nan, None)
    more = [value - other for value, other in pairs]
    middle = mean(more)
    if len(more) < ENOUGH:
        return Difference(middle, min(more), max(more), None)
    times = _STUDENT[min(len(more) - 1, len(_STUDENT)) - 1]
    around = times * stdev(more) / math.sqrt(len(more))
    low, high = middle - around, middle + around
    nearest = max(low, -high)  # the end of the interval that is nearest to zero; below it: across
    matters = abs(middle) >= _SMALLEST * max(abs(mean(other for _, other in pairs)), resolution)
    return Difference(middle, low, high, nearest > resolution and matters)
