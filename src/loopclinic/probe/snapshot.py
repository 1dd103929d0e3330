"""A probe's running totals at one moment, and what happened between two of them."""

from dataclasses import dataclass
from typing import NamedTuple

from loopclinic.probe.histogram import BUCKETS, SHORT, bucket, lag_of
from loopclinic.probe.report import Span

__all__ = ["Snapshot", "Totals"]


class Totals(NamedTuple):
    """Iterations, idle seconds, and the buckets of the longer iterations."""

    iterations: int
    idle: float
    counts: list[int]
    sums: list[float]
    exact: bool = True
    """False where idle time is made up from heartbeats."""

    def less(self, earlier: "Totals") -> "Totals":
        """Return what came since `earlier`."""
        return Totals(
            self.iterations - earlier.iterations,
            self.idle - earlier.idle,
            [now - then for now, then in zip(self.counts, earlier.counts, strict=True)],
            [now - then for now, then in zip(self.sums, earlier.sums, strict=True)],
            self.exact,
        )

    def span(self, seconds: float, age: float, worst: float) -> Span:
        """Return the span, with the unfinished iteration of `age` seconds counted in."""
        counts, sums = self.counts[:], self.sums[:]
        # The meter books longer iterations only: the rest of the busy time is the short ones'.
        short = self.iterations - sum(counts)
        rest = seconds - self.idle - sum(sums) - age
        utilization = min(1.0, max(0.0, 1 - self.idle / seconds)) if self.exact else None
        for number, busy in ((short, rest), (1, age)):
            if number > 0 and busy > 0:
                index = bucket(busy / number)
                counts[index] += number
                sums[index] += busy
        return Span(seconds, self.iterations, utilization, lag_of(counts, sums, seconds, worst))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A probe's running totals at one moment; subtract two by `later.since(earlier)`."""

    at: float
    """Seconds since the probe began."""
    iterations: int
    idle: float
    age: float
    """Seconds that the iteration in progress has lasted, 0 while the loop waits for events."""
    counts: tuple[int, ...]
    sums: tuple[float, ...]
    exact: bool = True
    """False where the loop has no selector: its utilization is unknown."""

    def since(self, earlier: "Snapshot") -> Span:
        """Return what happened between `earlier` and this one.

        The iteration in progress counts with its age. `lag.max` is exact to about 6 %; below
        0.25 ms it is an upper bound.
        """
        seconds = max(self.at - earlier.at, 1e-9)
        passed = self._totals().less(earlier._totals())  # noqa: SLF001 - its own class
        age = min(self.age, seconds)
        counts, sums = passed.counts, passed.sums
        means = (sums[i] / counts[i] for i in range(BUCKETS - 1, -1, -1) if counts[i])
        worst = max(next(means, 0.0), age)
        if not worst and passed.iterations:
            worst = min(SHORT, max(0.0, seconds - passed.idle))
        return passed.span(seconds, age, worst)

    def _totals(self) -> Totals:
        return Totals(self.iterations, self.idle, [*self.counts], [*self.sums], self.exact)
