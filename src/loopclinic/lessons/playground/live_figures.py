"""Figures of the run in progress: recent latencies, averages since the last change, and the forecast."""

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isnan, nan
from statistics import fmean
from typing import Any

from loopclinic.lessons.playground.figure_tables import Row, rows
from loopclinic.lessons.playground.forecast import Forecast, forecast
from loopclinic.lessons.playground.recording import Point
from loopclinic.lessons.playground.settings import Settings
from loopclinic.load.vitals import percentile

_KEPT = 40_000  # samples


def waited(answered: Iterable[float], ages: Iterable[float]) -> list[float]:
    """Return latencies in ascending order, with those of requests still in flight.

    A request counts with its age from the moment that this exceeds the p99 of the answered: it can
    only become more, and without it a service that answers nobody would look well.
    """
    ordered = sorted(answered)
    border = percentile(ordered, 0.99) if ordered else 0.0
    return sorted([*ordered, *(age for age in ages if age > border)])


@dataclass(frozen=True, slots=True)
class Moment:
    """What a stretch of time showed. Times in seconds, nan where there is nothing to say."""

    seconds: float
    mean: float
    p50: float
    p99: float
    answered: float
    """Answers a second."""
    failed: float
    """Requests a second that came to nothing."""
    attempts: float
    """Attempts a second, repeated ones included."""
    in_flight: float
    """On average."""
    count: int
    """Latencies known."""
    reasons: Mapping[str, int]
    """Why requests failed, by count."""


class RecentCalls:
    """Keeps what `EndlessLoad.take` returned for `seconds`, or until `clear()`; bounded."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._taken: deque[Mapping[str, Any]] = deque()
        self._samples = 0

    def add(self, taken: Mapping[str, Any]) -> None:
        """Add what `EndlessLoad.take` returned."""
        self._taken.append(taken)
        self._samples += len(taken["latency"])
        while len(self._taken) > 1 and (
            self._taken[0]["at"] <= taken["at"] - self.seconds or self._samples > _KEPT
        ):
            self._samples -= len(self._taken.popleft()["latency"])

    def clear(self) -> None:
        """Forget what was; the next figures count from now."""
        self._taken.clear()
        self._samples = 0

    def figures(self) -> Moment | None:
        """Return the figures, or None where nothing was added yet."""
        if not (taken := list(self._taken)):
            return None

        def total(name: str) -> float:
            return float(sum(one[name] for one in taken))

        seconds = max(total("seconds"), 1e-9)
        latency = [seconds for one in taken for seconds in one["latency"]]
        reasons = sum((Counter(one["failed"]) for one in taken), Counter[str]())
        everybody = waited(latency, taken[-1]["ages"])
        return Moment(
            seconds=seconds,
            mean=sum(latency) / len(latency) if latency else nan,
            p50=percentile(everybody, 0.5),
            p99=percentile(everybody, 0.99),
            answered=(len(latency) - reasons["timeout"]) / seconds,
            failed=sum(reasons.values()) / seconds,
            attempts=total("attempts") / seconds,
            in_flight=total("in_flight_seconds") / seconds,
            count=len(latency),
            reasons=dict(reasons.most_common()),
        )


_LIVE = 2.0  # seconds that a point of the chart looks back
_STEADY = 30.0  # seconds that the figures beside theory look back
_FORECAST = 1.0  # seconds between two forecasts: what a request costs the loop is learned meanwhile
_ENOUGH = 20  # requests from which on their cost to the loop can be told apart
_MOST = 0.01  # seconds that a request can cost the loop beside its block


class LiveFigures:
    """Makes points and figures of what callers and service report; for one thread."""

    def __init__(self, settings: Settings) -> None:
        self._live, self._steady = RecentCalls(_LIVE), RecentCalls(_STEADY)
        self._totals: deque[dict[str, Any]] = deque(maxlen=60)
        self._lag = 0.0
        self._busy: float | None = None
        self._place: float | None = None
        self._handling = 0.001
        self._offset: float | None = None
        self._forecast_at = 0.0
        self.turn(settings)

    @property
    def moment(self) -> Moment | None:
        """What was seen since the last change."""
        return self._steady.figures()

    def turn(self, settings: Settings) -> None:
        """Record that the settings were changed: figures begin anew."""
        self._settings = settings
        self._changed = time.monotonic()
        self._settled = False
        self._steady.clear()
        self._totals.clear()
        self.expected: Forecast = forecast(settings, handling=self._handling)

    def add_lag(self, lag: float) -> None:
        """Add a tick's worst lag, in seconds."""
        self._lag = max(self._lag, lag)

    def add_service(self, totals: dict[str, Any]) -> None:
        """Add the running totals of `Service.figures`, with the loop's."""
        self._totals.append(totals)
        first = self._totals[0]
        seconds = totals["at"] - first["at"]
        if seconds <= 0 or totals["idle"] is None:
            return
        busy = max(0.0, seconds - (totals["idle"] - first["idle"]))
        self._busy = min(1.0, busy / seconds)
        self._place = self._busiest(first, totals, seconds)
        handled = totals["handled"] - first["handled"]
        computes = self._settings.share and self._settings.how in ("cpu", "gil")
        if handled >= _ENOUGH and not computes:
            cost = (busy - (totals["on_loop"] - first["on_loop"])) / handled
            self._handling += 0.05 * (min(max(cost, 0.0), _MOST) - self._handling)

    def add_calls(self, taken: dict[str, Any], settle: float) -> Point | None:
        """Add what `EndlessLoad.take` returned; the first `settle` seconds after a change don't count."""
        self._live.add(taken)
        if not self._settled and time.monotonic() - self._changed > settle:
            self._settled = True
            self._steady.clear()
            self._totals.clear()
        self._steady.add(taken)
        moment = self._live.figures()
        if moment is None:
            return None
        if self._offset is None:
            self._offset = taken["at"]
        if time.monotonic() - self._forecast_at > _FORECAST:
            self._forecast_at = time.monotonic()
            self.expected = forecast(self._settings, handling=self._handling)
        lag, self._lag = self._lag, 0.0
        return Point(
            round(taken["at"] - self._offset, 3),
            None if isnan(moment.p50) else moment.p50,
            None if isnan(moment.p99) else moment.p99,
            *(moment.answered, moment.failed, moment.attempts, moment.in_flight),
            *(lag, self._busy, self.expected.p99 if self.expected.stable else None),
        )

    def rows(self) -> list[Row]:
        """Return measurement and expectation since the last change."""
        return rows(self.moment, self.expected, loop=self._busy, place=self._place)

    def _busiest(self, first: dict[str, Any], last: dict[str, Any], seconds: float) -> float | None:
        """Return the busy share of the place that theory finds the narrowest."""
        place, size = self.expected.place, self.expected.places
        if place == "loop":
            return self._busy
        if name := {"pool": "pool", "upstream": "pool", "limit": "limit"}.get(place):
            held = last[name]["busy_seconds"] - first[name]["busy_seconds"]
            return float(min(1.0, held / seconds / size))
        return min(1.0, fmean(one["threads_busy"] for one in self._totals) / size)
