"""Measures throughput, latency and errors at each limit in turn, and finds the knee."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from loopclinic.drawing.charts import COLORS, Series, Strip, scale, strips
from loopclinic.drawing.tables import Drawing, Drawn
from loopclinic.lessons.story.race_worker import Measure, worker
from loopclinic.load.progress_line import Progress
from loopclinic.load.vitals import percentile
from loopclinic.units import count

_NEAR = 0.95
"""Share of the best throughput from which on a limit counts as good enough."""


@dataclass(frozen=True)
class Point:
    """What one limit gave."""

    limit: int
    throughput: float
    """Per second."""
    p50: float
    p99: float
    """Seconds, both."""
    errors: Mapping[str, int]
    """What went wrong, by kind."""
    failed: float
    """Share of all requests."""


async def closed_loop(
    send: Callable[[], Awaitable[str]],
    limit: int,
    *,
    seconds: float = 0.35,
    warm_up: float = 0.15,
    stagger: float = 0.0,
) -> dict[str, Any]:
    """Keep `limit` calls of `send` under way and time each; return the fields of a `Point`.

    `send` returns what went wrong, or "". Seconds, all: `warm_up`, longer than a call, is not counted, and within
    `stagger` all have begun: in step, a window would hold one round of answers more or less.
    """
    latencies: list[float] = []
    errors: Counter[str] = Counter()
    opens = perf_counter() + warm_up
    closes = opens + seconds

    async def work(place: int) -> None:
        await asyncio.sleep(stagger * place / limit)
        while (sent := perf_counter()) < closes:
            error = await send()
            if opens <= (now := perf_counter()) < closes:
                if error:
                    errors[error] += 1
                else:
                    latencies.append(now - sent)

    async with asyncio.TaskGroup() as group:
        for place in range(limit):
            group.create_task(work(place))
    ordered, failed = sorted(latencies), errors.total()
    return {
        "limit": limit,
        "throughput": len(ordered) / seconds,
        "p50": percentile(ordered, 0.5),
        "p99": percentile(ordered, 0.99),
        "errors": errors,
        "failed": failed / max(1, failed + len(ordered)),
    }


def sweep(
    measure: Measure,
    limits: Sequence[int],
    *,
    unit: str,
    bound: float,
    because: str,
    rounds: int = 2,
    progress: bool = True,
    **given: Any,
) -> "Swept":
    """Try each limit `rounds` times, in shuffled order, in one process; keep the better round.

    `await measure(None, limit=..., **given)` returns what `closed_loop` does. `bound` is the throughput
    that no limit can exceed, in `unit`, such as `posts/s`; `because` says where it comes from.
    """
    found: dict[int, list[Point]] = {limit: [] for limit in limits}
    rng = random.Random(4)  # noqa: S311 - an order, no secret
    with worker(measure) as process, Progress(shown=progress) as shown:
        for number in range(rounds):
            for place, limit in enumerate(rng.sample(limits, len(limits))):
                turn = f"Round {number + 1} of {rounds}, {place + 1} of {len(limits)}"
                shown.say(f"{turn}: limit {limit}")
                found[limit].append(Point(**process.call({"limit": limit, **given}, timeout=60)))
        shown.done(f"Tried {count(len(limits), 'limit')} in {count(rounds, 'round')}.")
    # The better round: whatever else the machine does meanwhile only lowers it.
    points = tuple(max(found[it], key=_throughput) for it in sorted(found))
    return Swept(points, unit, bound, because)


def _throughput(point: Point) -> float:
    return point.throughput


@dataclass(frozen=True, repr=False)
class Swept(Drawn):
    """Points by limit, ascending, and the throughput that no limit can exceed, in `unit`."""

    points: tuple[Point, ...]
    unit: str
    bound: float
    because: str

    @property
    def best(self) -> float:
        """The highest throughput that any limit gave."""
        return max(map(_throughput, self.points))

    @property
    def little(self) -> float:
        """The limit at which throughput and latency meet: Little's law, C = throughput x latency."""
        return self.best * self.points[0].p50

    @property
    def knee(self) -> Point:
        """The smallest limit that gives nearly the best throughput, and at which nothing fails."""
        fine = [point for point in self.points if not point.failed]
        return next(one for one in fine if one.throughput >= _NEAR * max(map(_throughput, fine)))

    def words(self, limit: int) -> str:
        """Return what a limit gave."""
        one = next(point for point in self.points if point.limit == limit)
        failed = f"{one.failed:.0%}" if one.failed else "none"
        rate, late = f"{one.throughput:.0f} {self.unit}", f"p99 {one.p99 * 1000:.0f} ms"
        return f"limit {limit}: {rate}, {late}, {failed} refused"

    def __str__(self) -> str:
        knee, unit = self.knee, self.unit
        return (
            f"The knee is at {knee.limit}: {knee.throughput:.0f} {unit} are "
            f"{knee.throughput / self.bound:.0%} of the bound, and nothing was refused. Little's "
            f"law: {self.best:.0f} {unit} x {self.points[0].p50 * 1000:.0f} ms = {self.little:.1f} in flight."
        )

    def drawing(self) -> Drawing:
        """Draw throughput, p99 and errors against the limit, with the bound, Little's law, the knee."""
        return Drawing(f"<p><b>{self}</b></p>{self.svg()}", str(self))

    def svg(self, shown: Collection[int] = (), *, at: int | None = None) -> str:
        """Return the chart as SVG; with `at`, of the limits in `shown` only, without Little's law."""
        limits, alone = [point.limit for point in self.points], self.points[0].p50
        points = [one for one in self.points if at is None or one.limit in shown]
        law = () if at is not None else range(1, 2 * round(self.little) + 1)

        def line(of: Callable[[Point], float], color: str, *, square: bool = False) -> Series:
            joined, many = [(one.limit, of(one)) for one in points], len(points) > 1
            return Series(joined, COLORS[color], many, dots=True, square=square)

        def ideal(of: Callable[[int], float]) -> Series:
            return Series([(limit, of(limit)) for limit in law], COLORS["muted"], dashed=True)

        rate = [ideal(lambda limit: min(limit / alone, self.best)), line(_throughput, "accepted")]
        late = ideal(lambda limit: 1000 * max(alone, limit / self.best))
        p99 = line(lambda one: one.p99 * 1000, "blue")
        refused = line(lambda one: one.failed * 100, "refused", square=True)
        slowest = 1250 * max(one.p99 for one in self.points)
        most, bound = self.bound, (self.bound, f"bound: {self.because}")
        ticks = (0, most / 2, most)
        charts = [
            Strip(f"throughput, {self.unit}", rate, most * 1.2, ticks=ticks, bound=bound),
            Strip("latency p99, ms", [late, p99], slowest, ticks=scale(slowest)),
            Strip("refused or reset, %", [refused], 105, ticks=(0, 50, 100), height=70),
        ]
        little = f"Little's law: {self.little:.1f}"
        mark = (self.little, little) if at is None else (at, f"limit {at}")
        return strips(
            charts,
            low=0.9 * limits[0],
            high=1.1 * limits[-1],
            ticks=limits,
            label="limit: requests in flight at most",
            log=True,
            marks=[mark],
            title=str(self) if at is None else "What the limits tried so far gave",
        )
