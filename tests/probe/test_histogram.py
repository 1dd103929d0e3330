"""The histogram of iterations: percentiles of lag against an exact computation."""

import random

import pytest

from loopclinic.probe.histogram import BUCKETS, bucket, lag_of


def exact(busy: list[float], seconds: float, share: float) -> float:
    """Compute the x with sum(max(0, busy - x)) == share * seconds, by bisection on the durations."""
    low, high = 0.0, max(busy)
    if sum(busy) <= share * seconds:
        return 0.0
    for _ in range(60):
        x = (low + high) / 2
        if sum(max(0.0, one - x) for one in busy) > share * seconds:
            low = x
        else:
            high = x
    return low


def filled(busy: list[float]) -> tuple[list[int], list[float]]:
    counts, sums = [0] * BUCKETS, [0.0] * BUCKETS
    for one in busy:
        counts[bucket(one)] += 1
        sums[bucket(one)] += one
    return counts, sums


def test_a_minute_of_short_iterations_and_one_freeze_has_a_p99_of_seconds():
    # Two million iterations of 5 us and one freeze of 4 s in a minute: a per-iteration p99 is 5 us.
    counts, sums = [0] * BUCKETS, [0.0] * BUCKETS
    counts[bucket(5e-6)], sums[bucket(5e-6)] = 2_000_000, 10.0
    counts[bucket(4.0)], sums[bucket(4.0)] = 1, 4.0
    lag = lag_of(counts, sums, 60.0, 4.0)
    assert lag.p99 == pytest.approx(3.4, abs=0.01)
    assert lag.max == 4.0


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_agree_with_the_definition(seed):
    rng = random.Random(seed)
    busy = [rng.lognormvariate(-6, 2) for _ in range(400)]
    seconds = sum(busy) * 1.5
    lag = lag_of(*filled(busy), seconds, max(busy))
    for found, share in ((lag.p50, 0.5), (lag.p95, 0.05), (lag.p99, 0.01)):
        assert found == pytest.approx(exact(busy, seconds, share), rel=0.08, abs=1e-6)


def test_a_loop_that_is_busy_less_than_one_percent_has_no_lag_at_p99():
    lag = lag_of(*filled([0.001] * 5), 1.0, 0.001)
    assert (lag.p50, lag.p95, lag.p99) == (0.0, 0.0, 0.0)
    assert lag.max == 0.001


def test_nothing_measured_is_no_lag():
    lag = lag_of([0] * BUCKETS, [0.0] * BUCKETS, 1.0, 0.0)
    assert lag.to_dict() == {"p50": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0}


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e-6, 0.5, 1.0, 3600.0, 1e9])
def test_every_duration_has_a_bucket(seconds):
    assert 0 <= bucket(seconds) < BUCKETS


def test_buckets_grow_with_the_duration():
    found = [bucket(1e-7 * 1.05**step) for step in range(400)]
    assert found == sorted(found)
    assert len(set(found)) > 150
