"""Forecast for given settings by queueing theory: results, assumptions and where they break."""

import math
import os
from dataclasses import dataclass

import numpy as np

from loopclinic.lessons.playground.queueing import Line, little, loop_waits, waits_on_return
from loopclinic.lessons.playground.settings import Settings, default_threads
from loopclinic.units import duration

ASSUMPTIONS = (
    "Arrivals are independent of one another and of what happens to them.",
    "Each place serves one request at a time, in order of arrival.",
    "Service times are drawn independently; nobody leaves the line.",
    "The lines are independent of one another, so their waits add up.",
    "Nothing has changed for a long time: the steady state.",
)
_DRAWS = 20_000
_CROWDED = 0.8  # busy share from which on the upstream is likely to be full now and then
_TELLING = 0.5  # busy share from which on the shape of arrivals and services shows
_VISITS = 2  # a request needs the loop when it comes, and when its answer is there


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected in the steady state. Times in seconds; infinite where there is none."""

    place: str
    """The narrowest place."""
    places: int
    utilization: float
    """Busy share of the narrowest place; 1 and more: it can't keep up."""
    loop: float
    """Busy share of the loop."""
    throughput: float
    """Answers a second."""
    mean: float
    p50: float
    p99: float
    in_flight: float
    waits: float
    """Share of requests that have to wait for the narrowest place."""
    broken: tuple[str, ...]
    """Which assumptions don't hold here, a sentence each."""

    @property
    def stable(self) -> bool:
        """Whether there is a steady state."""
        return math.isfinite(self.mean)


def forecast(settings: Settings, *, handling: float = 0.001) -> Forecast:
    """Return what theory expects; `handling` is what one request costs the loop beside its blocks."""
    s = settings
    blocked = s.rate * s.share
    on_loop = s.share > 0 and s.remedy == "none"
    workers = 0 if on_loop or not s.share else _workers(s)
    squared = s.spread**2
    # Of n at once, n - 1 follow without a gap: 2n - 1 for their gaps, n for their counts.
    dispersion = max(0.0, 2.0 * s.bursts - 1)
    lines = {_narrowest(s): Line(s.places, s.rate, s.service, dispersion, squared, s.fastest_at)}
    if s.limit is not None and s.limit == s.places and s.share:
        # The block is part of what a place at the limit is held for.
        held = s.service + s.share * s.block
        lines = {"limit": Line(s.places, s.rate, held, dispersion, squared, s.fastest_at)}
    if workers and blocked:
        bursts = 1 + (dispersion - 1) * s.share  # a random part of the arrivals: bursts thin out
        lines[_worker_name(s)] = Line(workers, blocked, s.block, bursts, 0.0)
    loop = s.rate * handling + (blocked * s.block if on_loop else 0.0)
    name, narrow = max(lines.items(), key=lambda item: item[1].utilization)
    if loop > max(narrow.utilization, _CROWDED):
        name, narrow = "loop", Line(1, s.rate, loop / s.rate, 1.0, 0.0)
    most = s.rate - sum(max(0.0, one.rate - one.most) for one in lines.values())
    figures = (math.inf, math.inf, math.inf)
    if loop < 1 and all(one.stable for one in lines.values()):
        figures = _drawn(s, list(lines.values()), loop, handling=handling, on_loop=on_loop)
    elif loop >= 1:
        most = min(most, s.rate / loop)
    mean, p50, p99 = figures
    return Forecast(
        place=name,
        places=narrow.places,
        utilization=narrow.utilization,
        loop=min(loop, 1.0),
        throughput=most,
        mean=mean,
        p50=p50,
        p99=p99,
        in_flight=little(s.rate, mean),
        waits=narrow.waits,
        broken=tuple(_broken(s, lines, loop, p99, most)),
    )


def _narrowest(s: Settings) -> str:
    if s.limit is not None and s.limit == s.places:
        return "limit"
    return "pool" if s.pool <= s.capacity else "upstream"


def _worker_name(s: Settings) -> str:
    return {"process": "processes", "native": "loop's slices"}.get(s.remedy, "threads")


def _workers(s: Settings) -> int:
    """Return how many blocks go on at once, 0 for as many as there are."""
    computes = s.how in ("cpu", "gil")
    if s.remedy == "native":
        return 1 if computes else 0
    if s.remedy == "process":
        return min(s.threads, os.cpu_count() or 1) if computes else s.threads
    if computes:
        return 1  # the GIL lets one of them compute
    return default_threads() if s.remedy == "thread" else s.threads


def _drawn(
    s: Settings, lines: list[Line], loop: float, *, handling: float, on_loop: bool
) -> tuple[float, float, float]:
    """Return mean, p50 and p99 of all parts added up: drawn from their closed forms, seeded."""
    rng = np.random.default_rng(0)
    shape = 1 / s.spread**2 if s.spread else 0.0
    service = s.service * lines[0].stretch
    total = rng.gamma(shape, service / shape, _DRAWS) if shape else np.full(_DRAWS, service)
    for line in lines:
        waits = line.sample(rng, _DRAWS)
        if line.rate < s.rate:  # a line that only the blocking part stands in
            waits = np.where(rng.random(_DRAWS) < s.share, waits, 0.0)
        total += waits
    if on_loop:
        # Of what is found on the loop, only the blocks are long; handling makes them more likely.
        blocked = s.rate * s.share * s.block
        found = min(blocked / (1 - (loop - blocked)), 0.999)
        first = loop_waits(rng, _DRAWS, found, s.block)
        total += first + waits_on_return(rng, first, total, s.rate * s.share, s.block)
    if s.share:
        total += np.where(rng.random(_DRAWS) < s.share, s.block, 0.0)
    total += _VISITS * handling
    p50, p99 = np.quantile(total, (0.5, 0.99))
    return float(total.mean()), float(p50), float(p99)


def _broken(s: Settings, lines: dict[str, Line], loop: float, p99: float, most: float) -> list[str]:
    """Return a sentence for each assumption that does not hold."""
    over = [name for name, line in lines.items() if not line.stable]
    if loop >= 1:
        over.insert(0, "loop")
    late = p99 > s.timeout
    no_state = f"No steady state: the {next(iter(over), '')} can serve {most:,.0f}/s of {s.rate:,.0f}/s, so "
    no_state += f"the line grows by {s.rate - most:,.0f} a second until callers give up."
    repeated = (
        f"Each failure comes back up to {s.retries} times: arrivals depend on the waits, and "
    )
    repeated += "theory takes them as given."
    computes = s.share and s.how in ("cpu", "gil")
    busiest = max(line.utilization for line in lines.values())
    cases = (
        (over, no_state),
        (late and not over, f"Some wait longer than the timeout of {duration(s.timeout)} and leave the line."),
        (s.retries and (over or late), repeated),
        (s.share and s.remedy == "none",
         "While the loop is blocked all lines stop at once: they are not independent."),
        (computes and s.remedy in ("thread", "sized"),
         "The threads share one GIL, and the loop takes its turn among them."),
        (computes and s.remedy == "native",
         "There is no native form of computing: it is cut into slices on the loop."),
        (s.pool > 2 * s.capacity and busiest > _CROWDED,
         f"The upstream refuses new requests when {2 * s.capacity} are there already."),
        (s.fastest_at and s.limit == s.places and s.share,
         "Not everybody who holds a place is at the upstream, so it is faster than assumed."),
        (s.bursts > 1,
         "Arrivals in a burst wait for each other; the formulas know only how uneven arrivals are."),
        ((s.bursts != 1 or s.spread != 1) and busiest > _TELLING,
         "Not M/M/c: waits are stretched by Allen and Cunneen's approximation."),
    )  # fmt: skip
    return [sentence for holds, sentence in cases if holds]
