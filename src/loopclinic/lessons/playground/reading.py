"""What is read off a run as it goes: the last moments, the time since the last change, the forecast."""

import time
from collections import deque
from math import isnan
from statistics import fmean
from typing import Any

from loopclinic.lessons.playground.beside import Row, rows
from loopclinic.lessons.playground.forecast import Forecast, forecast
from loopclinic.lessons.playground.recording import Point
from loopclinic.lessons.playground.settings import Settings
from loopclinic.lessons.playground.window import Moment, Window

__all__ = ["Reading"]

_LIVE = 2.0  # seconds that a point of the chart looks back
_STEADY = 30.0  # seconds that the figures beside theory look back
_FORECAST = 1.0  # seconds between two forecasts: what a request costs the loop is learned meanwhile
_ENOUGH = 20  # requests from which on their cost to the loop can be told
_MOST = 0.01  # seconds that a request can cost the loop beside its block


class Reading:
    """Turns what callers and service tell into points and figures; for one thread."""

    def __init__(self, settings: Settings) -> None:
        self._live, self._steady = Window(_LIVE), Window(_STEADY)
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
        """Note that the controls were turned: figures begin anew."""
        self._settings = settings
        self._changed = time.monotonic()
        self._settled = False
        self._steady.clear()
        self._totals.clear()
        self.expected: Forecast = forecast(settings, handling=self._handling)

    def hear_lag(self, lag: float) -> None:
        """Take a tick's worst lag, in seconds."""
        self._lag = max(self._lag, lag)

    def hear_service(self, totals: dict[str, Any]) -> None:
        """Take the running totals of `Service.figures`, with the loop's."""
        self._totals.append(totals)
        first = self._totals[0]
        seconds = totals["at"] - first["at"]
        if seconds <= 0 or totals["idle"] is None:
            return
        busy = max(0.0, seconds - (totals["idle"] - first["idle"]))
        self._busy = min(1.0, busy / seconds)
        self._place = self._busy_place(first, totals, seconds)
        handled = totals["handled"] - first["handled"]
        computes = self._settings.share and self._settings.how in ("cpu", "gil")
        if handled >= _ENOUGH and not computes:
            cost = (busy - (totals["on_loop"] - first["on_loop"])) / handled
            self._handling += 0.05 * (min(max(cost, 0.0), _MOST) - self._handling)

    def hear_callers(self, taken: dict[str, Any], settle: float) -> Point | None:
        """Take what `Stream.take` returned; the first `settle` seconds after a change don't count."""
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
            at=round(taken["at"] - self._offset, 3),
            p50=None if isnan(moment.p50) else moment.p50,
            p99=None if isnan(moment.p99) else moment.p99,
            answered=moment.answered,
            failed=moment.failed,
            attempts=moment.attempts,
            in_flight=moment.in_flight,
            lag=lag,
            busy=self._busy,
            expected=self.expected.p99 if self.expected.stable else None,
        )

    def rows(self) -> list[Row]:
        """Return measurement and expectation since the last change."""
        return rows(self.moment, self.expected, loop=self._busy, place=self._place)

    def _busy_place(
        self, first: dict[str, Any], last: dict[str, Any], seconds: float
    ) -> float | None:
        """Return the busy share of the place that theory finds the narrowest."""
        place, size = self.expected.place, self.expected.places
        if place == "loop":
            return self._busy
        if place in ("pool", "upstream", "limit"):
            name = "limit" if place == "limit" else "pool"
            held = last[name]["busy_seconds"] - first[name]["busy_seconds"]
            return float(min(1.0, held / seconds / size))
        return min(1.0, fmean(one["threads_busy"] for one in self._totals) / size)
