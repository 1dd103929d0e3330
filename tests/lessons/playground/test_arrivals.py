"""Arrivals (even, random, in bursts) have the index of dispersion that they should."""

from random import Random
from statistics import fmean, pvariance

import pytest

from loopclinic.lessons.playground.endless_load import next_arrivals


def counts(bursts, windows=4000, rate=10.0):
    """Count the arrivals in each second."""
    rng = Random(5)
    found = [0] * windows
    now, size = next_arrivals(rate, bursts, rng)
    while now < windows:
        found[int(now)] += size
        gap, size = next_arrivals(rate, bursts, rng)
        now += gap
    return found


@pytest.mark.parametrize("bursts", [1, 4, 10])
def test_variance_over_mean_is_the_burstiness(bursts):
    seen = counts(bursts)
    assert fmean(seen) == pytest.approx(10, rel=0.06)
    assert pvariance(seen) / fmean(seen) == pytest.approx(bursts, rel=0.1)


def test_without_bursts_they_come_evenly():
    assert set(counts(0, windows=100)) <= {9, 10, 11}
