"""What the probe's findings say about a lab."""

from collections.abc import Iterable
from typing import Any

from loopclinic.lessons.whereabouts import learners
from loopclinic.probe import Snapshot, Stall

__all__ = ["mean_lag", "told"]


def mean_lag(earlier: Snapshot, later: Snapshot) -> float:
    """Return how long an event that comes at a random moment has to wait, in seconds.

    The mean and not a percentile: in two seconds one stumble of the machine is the p99 already.
    """
    pairs = zip(earlier.counts, later.counts, earlier.sums, later.sums, strict=True)
    squares = sum((s1 - s0) ** 2 / (c1 - c0) for c0, c1, s0, s1 in pairs if c1 > c0)
    return squares / (2 * (later.at - earlier.at))


def told(stalls: Iterable[Stall]) -> dict[str, Any] | None:
    """Return the line with the most stalled seconds that is the learner's, or None."""
    seconds: dict[tuple[str, int], float] = {}
    longest: dict[tuple[str, int], Stall] = {}
    for stall in stalls:
        if stall.file is None or stall.line is None:
            continue
        if not learners(stall.file):
            continue
        key = (stall.file, stall.line)
        seconds[key] = seconds.get(key, 0.0) + stall.seconds
        if key not in longest or longest[key].seconds < stall.seconds:
            longest[key] = stall
    if not seconds:
        return None
    worst = longest[max(seconds, key=seconds.__getitem__)]
    return {
        "file": worst.file,
        "line": worst.line,
        "code": worst.code or "",
        "seconds": worst.seconds,
        "conflict": worst.conflict,
    }
