"""Metrics of a probe for monitoring: counters that only grow, and a histogram of lag."""

from collections import Counter, deque
from dataclasses import dataclass, field
from threading import Lock

from loopclinic.probe import Census, Lag, Probe, Snapshot

EDGES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds of lag at which the histogram has an edge."""
WINDOW = 60.0
"""Seconds that `lag` and `utilization` look back."""
_EVERY = 1.0
_STEP = 10.0  # seconds between two snapshots kept


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a probe. Times are in seconds, totals since the probe began."""

    seconds: float
    busy: float | None
    """None where the loop can't tell."""
    iterations: int
    within: tuple[float, ...]
    """Seconds of loop time in which an event would have waited no longer than each of `EDGES`."""
    waited: float
    """Lag added up over time (its integral), in square seconds: by `seconds` the mean lag."""
    lag: Lag
    """Of the last minute."""
    utilization: float | None
    """Of the last minute."""
    stalls: dict[str, int] = field(default_factory=dict)
    """How many, by conflict; `unknown` where none is known."""
    stalled: float = 0.0
    """Seconds of stalls."""
    census: Census | None = None
    heartbeat: float = 0.0
    """How late a timer's coroutine ran at the worst, of the last minute."""


class Reader:
    """Reads one running probe for an exporter; `close()` ends it. Any thread may read."""

    def __init__(self, probe: Probe) -> None:
        if not probe.running:
            raise RuntimeError("This probe is not running: start() it, then export it.")
        self._probe, self._start = probe, probe.starts
        self._lock = Lock()
        self._past: deque[Snapshot] = deque([probe.snapshot()])
        self._stalls: Counter[str] = Counter()
        self._stalled = 0.0
        self._told = -1.0
        self._last: Reading | None = None
        # The probe keeps the latest thousand stalls: count them before they are gone.
        self._unsubscribe = probe.subscribe(self._look, every=_EVERY)

    def read(self) -> Reading | None:
        """Return the figures of this moment, None once the probe was stopped."""
        with self._lock:
            if self._probe.starts != self._start:
                return None
            try:
                snapshot, census = self._probe.snapshot(), self._probe.census()
            except RuntimeError:
                return None
            self._count()
            within, waited = _lag_over_time(snapshot)
            if self._last is not None:
                # A rounding error downwards would be taken for a restart of the whole service.
                within = tuple(map(max, within, self._last.within))
                waited = max(waited, self._last.waited)
            span = snapshot.since(self._past[0])
            since = snapshot.at - span.seconds
            late = (s.heartbeat for s in self._probe.stalls if s.started + s.seconds > since)
            self._last = Reading(
                seconds=snapshot.at,
                busy=snapshot.at - snapshot.idle if span.utilization is not None else None,
                iterations=snapshot.iterations,
                within=within,
                waited=waited,
                lag=span.lag,
                utilization=span.utilization,
                stalls=dict(self._stalls),
                stalled=self._stalled,
                census=census,
                heartbeat=max([span.lag.max, *late]),
            )
            return self._last

    def close(self) -> None:
        """Stop counting."""
        self._unsubscribe()

    def _look(self) -> None:
        with self._lock:
            self._count()
            snapshot = self._probe.snapshot()
            if snapshot.at - self._past[-1].at >= _STEP:
                self._past.append(snapshot)
            while len(self._past) > 1 and snapshot.at - self._past[1].at >= WINDOW:
                self._past.popleft()

    def _count(self) -> None:
        told = self._told
        for stall in reversed(self._probe.stalls):
            if stall.started <= told:
                break
            self._told = max(self._told, stall.started)
            self._stalls[stall.conflict or "unknown"] += 1
            self._stalled += stall.seconds


def _lag_over_time(snapshot: Snapshot) -> tuple[tuple[float, ...], float]:
    """Return the seconds within each edge, and the integral of lag.

    An event that becomes ready in an iteration of b seconds waits for what is left of it, so longer
    than x for max(0, b - x) seconds of it. Summed over all iterations and taken from the time that
    passed, that is the time-weighted distribution which `Lag` gives the percentiles of.
    """
    longer = [0.0] * len(EDGES)
    waited = 0.0
    # The iteration in progress counts as far as it has come, or the totals would shrink as it ends.
    ongoing = [(1, snapshot.age)] if snapshot.age else []
    for count, total in (*zip(snapshot.counts, snapshot.sums, strict=True), *ongoing):
        if not count:
            continue
        mean = total / count  # iterations of one bucket are within 12.5 % of one another
        waited += count * mean * mean / 2
        for index, edge in enumerate(EDGES):
            if mean <= edge:
                break
            longer[index] += count * (mean - edge)
    return tuple(max(0.0, snapshot.at - beyond) for beyond in longer), waited
