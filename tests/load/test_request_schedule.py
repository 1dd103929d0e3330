"""Schedules of a load: when requests are due, and what they carry."""

import itertools

import pytest

from loopclinic.load.request_schedule import Load


def test_poisson_arrivals_follow_the_seed_and_the_rate():
    load = Load(rate=500, seconds=4, seed=3)
    due = load.due()
    assert due == Load(rate=500, seconds=4, seed=3).due()
    assert due != load.due(1)
    assert due == sorted(due)
    assert due[0] > 0
    assert due[-1] < 4
    assert 1000 < len(due) < 4000
    gaps = [after - before for before, after in itertools.pairwise(due)]
    mean = sum(gaps) / len(gaps)
    # Exponential gaps: a third of them exceeds the mean; evenly spaced ones never do.
    assert 0.25 < sum(gap > mean for gap in gaps) / len(gaps) < 0.5


def test_uniform_arrivals_are_evenly_spaced():
    assert Load(rate=10, seconds=0.5, arrivals="uniform").due() == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_a_batch_is_due_at_once():
    load = Load(jobs=7)
    assert load.due() == [0.0] * 7
    assert load.span == 0


def test_payloads_go_round_and_name_groups():
    load = Load(payloads=[{"group": "a"}, 5])
    assert [load.payload(n) for n in range(3)] == [{"group": "a"}, 5, {"group": "a"}]
    assert [load.group(n) for n in range(3)] == ["a", None, "a"]
    assert Load().payload(9) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rate": 0}, "rate=0"),
        ({"seconds": -1}, "seconds=-1"),
        ({"arrivals": "bursts"}, "'poisson' or 'uniform'"),
        ({"jobs": 0}, "one job or more"),
        ({"payloads": []}, "at least one"),
        ({"payloads": [object()]}, "not JSON"),
        ({"method": "PUT"}, "'POST' or 'GET'"),
    ],
)
def test_a_load_that_makes_no_sense_is_refused_by_name(options, words):
    with pytest.raises(ValueError, match=words):
        Load(**options)
