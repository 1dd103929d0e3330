from math import isnan, nan

from loopclinic.load.difference import difference
from loopclinic.load.interleave import order
from loopclinic.load.vitals import Latency, percentile


def test_rounds_that_straddle_one_are_no_difference():
    found = difference([1.0, 2.2, 0.9, 1.4, 3.0], [1.1, 1.0, 1.0, 1.0, 1.0])
    assert found.found is False
    assert str(found) == "no difference"


def test_rounds_on_one_side_are_a_difference_with_its_spread():
    found = difference([10.0, 12.0, 8.0], [1.0, 1.0, 1.0])
    assert found.found is True
    assert (found.ratio, found.low, found.high) == (10.0, 8.0, 12.0)
    assert str(found) == "x10 (x8.0 to x12)"
    assert str(difference([1.0] * 3, [4.0] * 3)) == "÷4.0 (÷4.0 to ÷4.0)"


def test_a_small_ratio_is_none_however_steady():
    assert difference([1.04] * 5, [1.0] * 5).found is False
    assert difference([0.97] * 5, [1.0] * 5).found is False
    assert difference([1.2] * 5, [1.0] * 5).found is True


def test_what_a_figure_cannot_resolve_is_no_difference():
    assert difference([0.0019] * 5, [0.001] * 5, resolution=0.001).found is False
    assert difference([0.0019] * 5, [0.001] * 5).found is True


def test_two_rounds_are_too_few():
    found = difference([5.0, 5.0], [1.0, 1.0])
    assert found.found is None
    assert "too few rounds" in str(found)


def test_zero_and_missing_values_do_not_divide():
    assert difference([0.0] * 3, [0.0] * 3).found is False
    rise = difference([7.0] * 3, [0.0] * 3)
    assert rise.found is True
    assert isnan(rise.ratio)
    assert difference([0.0] * 3, [5.0] * 3).found is True
    assert difference([nan] * 3, [1.0] * 3).found is None
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
