"""When callers come: counts in windows, by their index of dispersion."""

from random import Random
from statistics import fmean, pvariance

import pytest

from loopclinic.lessons.playground.arrivals import Arrivals


def counts(bursts, windows=4000, rate=10.0):
    """How many come in each second."""
    arrivals = Arrivals(rate, bursts, Random(5))
    found = [0] * windows
    now, size = arrivals.next()
    while now < windows:
        found[int(now)] += size
        gap, size = arrivals.next()
        now += gap
    return found


@pytest.mark.parametrize("bursts", [1, 4, 10])
def test_variance_over_mean_is_the_burstiness(bursts):
    seen = counts(bursts)
    assert fmean(seen) == pytest.approx(10, rel=0.06)
    assert pvariance(seen) / fmean(seen) == pytest.approx(bursts, rel=0.1)


def test_without_bursts_they_come_evenly():
    assert set(counts(0, windows=100)) <= {9, 10, 11}
