"""One concurrency limit after another, and where Little's law says that the knee must be."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.unbounded_gather.charts import COLORS, Series, Strip, strips
from loopclinic.lessons.unbounded_gather.publisher import publisher
from loopclinic.lessons.unbounded_gather.service import (
    BOUND,
    CAPACITY,
    LATENCY,
    QUEUE,
    SERVICE,
)
from loopclinic.load.progress import Progress
from loopclinic.load.vitals import percentile
from loopclinic.servers import FaultyUpstream

__all__ = ["LIMITS", "Point", "Sweep", "sweep"]

LIMITS = (1, 2, 5, 10, 15, 20, 30, 40, 60, 100)
_WINDOW, _WARM_UP = 0.35, 0.15
_NEAR = 0.95


@dataclass(frozen=True)
class Point:
    """What one limit gave. Seconds, posts a second, and the share of requests that came to nothing."""

    limit: int
    throughput: float
    p50: float
    p99: float
    errors: float
    refused: int
    reset: int

    def __str__(self) -> str:
        gone = f"{self.errors:.0%} refused" if self.errors else "none refused"
        return f"limit {self.limit}: {self.throughput:.0f} posts/s, p99 {self.p99 * 1000:.0f} ms, {gone}"


@dataclass(frozen=True)
class Sweep:
    """Points by limit, ascending."""

    points: tuple[Point, ...]

    @property
    def latency(self) -> float:
        """Seconds that one post takes when nobody else is there."""
        return self.points[0].p50

    @property
    def best(self) -> float:
        """The highest throughput that any limit gave, posts a second."""
        return max(point.throughput for point in self.points)

    @property
    def little(self) -> float:
        """The limit at which throughput and latency meet: C = throughput x latency."""
        return self.best * self.latency

    @property
    def knee(self) -> Point:
        """The smallest limit that gives nearly the best throughput, and is refused nothing."""
        fine = [point for point in self.points if not point.errors]
        top = max(point.throughput for point in fine)
        return next(point for point in fine if point.throughput >= _NEAR * top)

    def __str__(self) -> str:
        knee = self.knee
        share = knee.throughput / BOUND
        return (
            f"The knee is at {knee.limit}: {knee.throughput:.0f} posts/s are {share:.0%} of the bound, "
            f"with {knee.refused} refused. Little's law: {self.best:.0f} posts/s x "
            f"{self.latency * 1000:.0f} ms = {self.little:.1f} in flight."
        )

    def drawing(self) -> Drawing:
        """Draw throughput, p99 and errors against the limit, with the bound, Little's law, the knee."""
        words = str(self)
        return Drawing(f"<p><b>{words}</b></p>{self.svg()}", words)

    def svg(
        self, shown: Iterable[int] | None = None, *, at: int | None = None, law: bool = True
    ) -> str:
        """Return the picture as SVG; `shown` are the limits whose points are drawn, `at` is marked."""
        wanted = {point.limit for point in self.points} if shown is None else set(shown)
        points = [point for point in self.points if point.limit in wanted]
        lines = law or len(points) > 1
        top_ms = 1000 * max(point.p99 for point in self.points) * 1.25
        throughput = [(p.limit, p.throughput) for p in points]
        p99 = [(p.limit, p.p99 * 1000) for p in points]
        errors = [(p.limit, p.errors * 100) for p in points]
        last = CAPACITY + QUEUE
        drawn = range(1, last + 1) if law else ()
        bound = [
            Series([(c, min(c / self.latency, self.best)) for c in drawn], _LAW, dashed=True),
            Series(
                [(c, 1000 * max(self.latency, c / self.best)) for c in drawn], _LAW, dashed=True
            ),
        ]
        charts = [
            Strip(
                "throughput, posts/s",
                [
                    bound[0],
                    Series(throughput, COLORS["accepted"], line=lines, dots=True),
                ],
                top=BOUND * 1.2,
                ticks=(0, BOUND / 2, BOUND),
                bound=(BOUND, f"bound: {CAPACITY} at once / {LATENCY * 1000:.0f} ms"),
            ),
            Strip(
                "latency p99, ms",
                [bound[1], Series(p99, COLORS["blue"], line=lines, dots=True)],
                top=top_ms,
                ticks=_ms_ticks(top_ms),
            ),
            Strip(
                "refused or reset, %",
                [Series(errors, COLORS["refused"], line=lines, dots=True, square=True)],
                top=105,
                ticks=(0, 50, 100),
                height=70,
            ),
        ]
        marks: list[tuple[float, str]] = []
        if law:
            marks.append((self.little, f"Little's law: {self.little:.1f}"))
        if at is not None:
            marks = [(at, f"limit {at}")]
        return strips(
            charts,
            low=0.9,
            high=110,
            ticks=[p.limit for p in self.points],
            label="limit: requests in flight at most",
            log=True,
            marks=marks,
            title=str(self) if law else "What the limits tried so far gave",
        )

    def _repr_html_(self) -> str:
        return self.drawing()._repr_html_()


_LAW = "var(--lc-muted)"


def sweep(limits: Sequence[int] = LIMITS, *, rounds: int = 2) -> Sweep:
    """Try each limit `rounds` times, in shuffled order, and keep the better round of each.

    The client and the service are processes of their own. About half a second a limit and round.
    """
    found: dict[int, list[dict[str, Any]]] = {limit: [] for limit in limits}
    rng = random.Random(4)  # noqa: S311 - an order, no secret
    with (
        FaultyUpstream(**SERVICE) as upstream,
        publisher(None, "the sweep's client") as client,
        Progress(shown=True) as shown,
    ):
        for number in range(rounds):
            order = list(limits)
            rng.shuffle(order)
            for place, limit in enumerate(order):
                shown.say(
                    f"Round {number + 1} of {rounds}, {place + 1} of {len(order)}: limit {limit}"
                )
                upstream.reset_now()
                upstream.set_now(**SERVICE)
                found[limit].append(
                    client.call(
                        {
                            "kind": "closed loop",
                            "url": upstream.url,
                            "limit": limit,
                            "seconds": _WINDOW,
                            "warm_up": _WARM_UP,
                            "stagger": LATENCY,
                        }
                    )
                )
        shown.done(f"Tried {len(limits)} limits in {rounds} rounds.")
    return Sweep(tuple(_point(limit, found[limit]) for limit in sorted(found)))


def _point(limit: int, rounds: Sequence[dict[str, Any]]) -> Point:
    # The better round: whatever else the machine does meanwhile only lowers it.
    best = max(rounds, key=lambda one: len(one["latencies"]) / one["seconds"])
    ordered = sorted(best["latencies"])
    refused, reset = best["errors"]["429"], best["errors"]["reset"]
    failed = refused + reset
    return Point(
        limit=limit,
        throughput=len(ordered) / best["seconds"],
        p50=percentile(ordered, 0.5),
        p99=percentile(ordered, 0.99),
        errors=failed / max(1, failed + len(ordered)),
        refused=refused,
        reset=reset,
    )


def _ms_ticks(top: float) -> list[float]:
    step = next((one for one in (25, 50, 100, 250, 500) if top / one <= 5), 1000)  # noqa: PLR2004
    return [float(number * step) for number in range(int(top / step) + 1)]
