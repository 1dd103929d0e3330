"""Log-bucketed busy times, and percentiles of the wait they cause."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import frexp

# Eight buckets to an octave: an edge is at most 12.5 % from the next, and each bucket keeps its sum,
# so a bucket that holds one iteration is exact. 2**-24 s (60 ns) up to 2**40 s.
_OCTAVES_BELOW = 24
BUCKETS = (_OCTAVES_BELOW + 40) * 8
SHORT = 0.00025  # seconds: shorter iterations are only counted, all in one bucket of their own
_FLOOR = 1e-7  # added to every duration: keeps 0.0 out of frexp's special case


def bucket(seconds: float) -> int:
    """Return the bucket of a duration in seconds."""
    mantissa, exponent = frexp(seconds + _FLOOR)
    return (exponent << 3) + int(mantissa * 16.0) + (_OCTAVES_BELOW * 8 - 8)


def _edge(index: int) -> float:
    octave, step = divmod(index - (_OCTAVES_BELOW * 8), 8)
    return (0.5 + step / 16.0) * 2.0**octave - _FLOOR


@dataclass(frozen=True, slots=True)
class Lag:
    """How long an event that becomes ready waits for the loop, in seconds.

    The percentiles are weighted by time: they are those of an event that becomes ready at a random
    moment, `P(wait > x) = sum(max(0, busy_i - x)) / T`. Counted per iteration they would lie: a
    minute with two million iterations of 5 us and one freeze of 4 s has a per-iteration p99 of 5 us.
    """

    p50: float
    p95: float
    p99: float
    max: float

    def to_dict(self) -> dict[str, float]:
        """Return the figures by name, in seconds."""
        return {"p50": self.p50, "p95": self.p95, "p99": self.p99, "max": self.max}


def lag_of(counts: Sequence[int], sums: Sequence[float], seconds: float, worst: float) -> Lag:
    """Return the lag over `seconds` of loop time whose busy times fell into these buckets.

    `counts[i]` iterations with a total of `sums[i]` seconds stand in bucket i; `worst` is the
    longest of them, in seconds.
    """
    p99, p95, p50 = _exceeded(counts, sums, [seconds * share for share in (0.01, 0.05, 0.50)])
    return Lag(min(p50, worst), min(p95, worst), min(p99, worst), worst)


def _exceeded(counts: Sequence[int], sums: Sequence[float], targets: list[float]) -> list[float]:
    """Return for each target (ascending) the x with `sum(max(0, busy_i - x)) == target`, or 0."""
    found: list[float] = []
    above, total = 0, 0.0  # iterations in the buckets above this one, and their seconds
    for index in range(len(counts) - 1, -1, -1):
        here = counts[index]
        if not here:
            continue
        mean = sums[index] / here
        low = max(0.0, _edge(index))
        while len(found) < len(targets):
            target = targets[len(found)]
            if total + sums[index] - (above + here) * low < target:
                break  # the wait lies further down
            # Within the bucket its iterations are taken to be of their mean length.
            x = (total + sums[index] - target) / (above + here)
            if x > mean:
                x = (total - target) / above
            found.append(max(0.0, x))
        above += here
        total += sums[index]
        if len(found) == len(targets):
            break
    while len(found) < len(targets):  # below the lowest bucket's edge
        target = targets[len(found)]
        found.append(max(0.0, (total - target) / above) if above else 0.0)
    return found
