"""The callers' last moments as figures, those still waiting included."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import nan
from typing import Any

from loopclinic.load.vitals import percentile

__all__ = ["Moment", "Window", "waited"]

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


class Window:
    """Keeps what the stream told for `seconds`, or until `clear()`; bounded."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._taken: deque[Mapping[str, Any]] = deque()
        self._samples = 0

    def add(self, taken: Mapping[str, Any]) -> None:
        """Take what `Stream.take` returned."""
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
        """Return the figures, or None where nothing was told yet."""
        told = list(self._taken)
        if not told:
            return None
        seconds = max(sum(one["seconds"] for one in told), 1e-9)
        latency = [seconds for one in told for seconds in one["latency"]]
        reasons: Counter[str] = Counter()
        for one in told:
            reasons.update(one["failed"])
        everybody = waited(latency, told[-1]["ages"])
        return Moment(
            seconds=seconds,
            mean=sum(latency) / len(latency) if latency else nan,
            p50=percentile(everybody, 0.5),
            p99=percentile(everybody, 0.99),
            answered=(len(latency) - reasons["timeout"]) / seconds,
            failed=sum(reasons.values()) / seconds,
            attempts=sum(one["attempts"] for one in told) / seconds,
            in_flight=sum(one["in_flight_seconds"] for one in told) / seconds,
            count=len(latency),
            reasons=dict(reasons.most_common()),
        )
