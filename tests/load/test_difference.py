"""The rule that says whether two variants differ."""

from math import isnan, nan, sqrt

import pytest

from loopclinic.load.difference import difference
from loopclinic.load.interleave import order
from loopclinic.load.vitals import Latency, percentile
from loopclinic.units import duration


def test_rounds_that_straddle_zero_are_no_difference():
    found = difference([1.0, 2.2, 0.9, 1.4, 3.0], [1.1, 1.0, 1.0, 1.0, 1.0])
    assert found.found is False
    assert found.words(duration) == "no difference"


def test_the_interval_is_student_s_of_paired_rounds():
    found = difference([10.0, 12.0, 8.0, 11.0, 9.0], [1.0] * 5)
    assert found.mean == pytest.approx(9.0)
    around = 2.78 * sqrt(2.5) / sqrt(5)  # of four degrees of freedom
    assert (found.low, found.high) == pytest.approx((9.0 - around, 9.0 + around))
    assert found.found is True
    assert found.words(duration) == "7.03 s to 10.97 s more"
    paired = difference([10.0, 20.0, 30.0], [9.0, 19.0, 29.0])
    assert (paired.low, paired.high) == (1.0, 1.0), "what all rounds share is no spread"


def test_a_difference_on_every_side_but_within_its_interval_is_none():
    """All five rounds are slower, and the interval still holds zero: the old rule said `x1.06`."""
    found = difference([1.02, 1.01, 1.30, 1.01, 1.01], [1.0] * 5)
    assert found.low < 0 < found.high
    assert found.found is False


def test_less_is_said_as_less_and_equal_ends_once():
    assert difference([1.0] * 3, [4.0] * 3).words(duration) == "3.00 s less"


def test_a_small_difference_is_none_however_steady():
    assert difference([1.04] * 5, [1.0] * 5).found is False
    assert difference([0.97] * 5, [1.0] * 5).found is False
    assert difference([1.2] * 5, [1.0] * 5).found is True


def test_what_a_figure_cannot_resolve_is_no_difference():
    assert difference([0.0019] * 5, [0.001] * 5, resolution=0.001).found is False
    assert difference([0.0019] * 5, [0.001] * 5).found is True


def test_two_rounds_are_too_few():
    found = difference([5.0, 5.0], [1.0, 1.0])
    assert found.found is None
    assert found.words(duration) == "too few rounds to tell"


def test_zero_and_missing_values():
    assert difference([0.0] * 3, [0.0] * 3).found is False
    assert difference([7.0] * 3, [0.0] * 3).found is True
    assert difference([0.0] * 3, [5.0] * 3).found is True
    missing = difference([nan] * 3, [1.0] * 3)
    assert missing.found is None
    assert isnan(missing.mean)
    assert missing.words(duration) == "not measured"
    assert difference([nan, 2.0, 2.0, 2.0], [1.0] * 4).found is True


def test_rounds_are_interleaved():
    assert [order(r, 2) for r in range(4)] == [[0, 1], [1, 0], [0, 1], [1, 0]]
    for variants in (1, 3, 4):
        rounds = [order(r, variants) for r in range(2 * variants)]
        assert all(sorted(places) == list(range(variants)) for places in rounds)
        for place in range(variants):  # everybody stands everywhere equally often
            assert sorted(places[place] for places in rounds) == sorted(2 * list(range(variants)))


def test_percentiles_are_samples():
    samples = [float(n) for n in range(1, 101)]
    assert [percentile(samples, share) for share in (0.0, 0.5, 0.95, 0.99, 1.0)] == [
        1.0,
        50.0,
        95.0,
        99.0,
        100.0,
    ]
    assert isnan(percentile([], 0.5))
    assert Latency.of([3.0, 1.0, 2.0]).samples == (1.0, 2.0, 3.0)
    assert Latency.of([]).to_dict()["p50"] is None
