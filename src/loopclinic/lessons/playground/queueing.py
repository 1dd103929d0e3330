"""Queueing theory, as far as the playground needs it: closed forms, and no simulation.

Sources: A. K. Erlang, 1917 (B and C formula); A. O. Allen, "Probability, Statistics, and Queueing
Theory", 1990 (M/M/c, and the Allen-Cunneen approximation for G/G/c); L. Kleinrock, "Queueing
Systems", 1975 (Pollaczek-Khinchine as a geometric sum of residual services).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loopclinic.servers.upstream import slowdown

Samples = NDArray[np.float64]
_MIXED = 12  # blocks after which nobody can tell who was there before them


def erlang_b(places: int, load: float) -> float:
    """Return the share that finds all places taken and is turned away (M/M/c/c).

    `load` is arrivals a second times seconds of service: the mean number at work if none were
    turned away.
    """
    blocked = 1.0
    for place in range(1, places + 1):
        blocked = load * blocked / (place + load * blocked)
    return blocked


def erlang_c(places: int, load: float) -> float:
    """Return the share that has to wait (M/M/c); 1 where the line grows without end."""
    if load >= places:
        return 1.0
    blocked = erlang_b(places, load)
    return blocked / (1 - (load / places) * (1 - blocked))


def little(rate: float, seconds: float) -> float:
    """Return the mean number in a system: arrivals a second times the mean seconds in it."""
    return rate * seconds


@dataclass(frozen=True, slots=True)
class Line:
    """One line before `places`: M/M/c, stretched to other spreads by Allen and Cunneen.

    `rate` in arrivals a second, `service` in seconds; `arrival_spread` and `service_spread` are
    squared coefficients of variation (0: always the same, 1: exponential). With `fastest_at` the
    places slow each other down; see `loopclinic.servers.upstream.slowdown`.
    """

    places: int
    rate: float
    service: float
    arrival_spread: float = 1.0
    service_spread: float = 1.0
    fastest_at: int | None = None

    @property
    def load(self) -> float:
        """Mean number at work, if all are served."""
        return self.rate * self.service

    @property
    def utilization(self) -> float:
        """Busy share of the places; 1 and more: no steady state."""
        return self.rate / self.most if self.service else 0.0

    @property
    def stable(self) -> bool:
        """Whether the line stays finite."""
        return self.utilization < 1

    @property
    def most(self) -> float:
        """Requests a second that the places can serve."""
        return self._speed(self.places) if self.service else math.inf

    @property
    def waits(self) -> float:
        """Share of arrivals that have to wait."""
        if self.fastest_at is None:
            return erlang_c(self.places, self.load)
        return self._crowd()[1] if self.stable else 1.0

    @property
    def stretch(self) -> float:
        """How many times its service a place is held on average, for the others at work."""
        if self.fastest_at is None or not self.load:
            return 1.0
        if not self.stable:
            return slowdown(self.places, self.fastest_at)
        return self._crowd()[0] / self.load

    @property
    def wait(self) -> float:
        """Mean seconds in line, of everybody; infinite without a steady state."""
        if not self.stable:
            return math.inf
        spread = (self.arrival_spread + self.service_spread) / 2
        return spread * self.waits / (self.most - self.rate)

    def _speed(self, at_work: int) -> float:
        """Return requests a second that so many at work get done."""
        return at_work / (self.service * slowdown(at_work, self.fastest_at))

    def _crowd(self) -> tuple[float, float]:
        """Return the mean number at work, and the share that waits: a birth and death process."""
        weights = [1.0]
        for number in range(1, self.places + 1):
            weights.append(weights[-1] * self.rate / self._speed(number))
        weights[-1] /= 1 - self.utilization  # all places taken, and any number waits
        total = sum(weights)
        return sum(n * weight for n, weight in enumerate(weights)) / total, weights[-1] / total

    def sample(self, rng: np.random.Generator, count: int) -> Samples:
        """Draw waits: none, or exponential, as in M/M/c."""
        if not self.wait:
            return np.zeros(count)
        waiting = rng.random(count) < self.waits
        return np.where(waiting, rng.exponential(self.wait / self.waits, count), 0.0)


def loop_waits(rng: np.random.Generator, count: int, utilization: float, block: float) -> Samples:
    """Draw waits for a loop that is blocked for `block` seconds at a time, `utilization` of its time.

    M/D/1, exactly: the wait is a geometric number of residual blocks, each uniform.
    """
    rounds = rng.geometric(1 - utilization, count) - 1
    waits = np.zeros(count)
    for number in range(1, int(rounds.max(initial=0)) + 1):
        inside = rounds >= number
        waits[inside] += block * rng.random(int(inside.sum()))
    return waits


def waits_on_return(
    rng: np.random.Generator, waited: Samples, away: Samples, rate: float, block: float
) -> Samples:
    """Draw the waits of who comes back to that loop, `away` seconds after a turn it has `waited` for.

    Blocks come `rate` a second. Those that came while it waited stand behind it, and go on while it
    is away: the two waits depend on each other, and the second is the shorter one.
    """
    if rate:
        away = np.minimum(away, _MIXED / rate)
    left = block * rng.poisson(rate * waited)  # seconds of blocks that the loop has before it
    comes = rng.poisson(rate * away)
    at = rng.random((len(away), int(comes.max(initial=0)))) * away[:, None]
    at[np.arange(at.shape[1]) >= comes[:, None]] = np.inf
    now = np.zeros_like(away)
    for moment in np.sort(at, axis=1).T:
        there = np.isfinite(moment)
        left[there] = np.maximum(left[there] - (moment - now)[there], 0.0) + block
        now[there] = moment[there]
    return np.maximum(left - (away - now), 0.0)
