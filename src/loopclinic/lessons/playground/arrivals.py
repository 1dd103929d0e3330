"""When the next callers come: evenly spaced, by chance, or in bursts."""

from random import Random

__all__ = ["Arrivals"]


class Arrivals:
    """Draws gaps between arrivals. `bursts` is the index of dispersion of their counts.

    0: evenly spaced. 1: Poisson. n: groups of n at once, by chance (compound Poisson).
    """

    def __init__(self, rate: float, bursts: int, rng: Random) -> None:
        self.rate, self.bursts = rate, bursts
        self._rng = rng

    def next(self) -> tuple[float, int]:
        """Return the seconds until somebody comes, and how many come then."""
        if self.bursts == 0:
            return 1 / self.rate, 1
        return self._rng.expovariate(self.rate / self.bursts), self.bursts
