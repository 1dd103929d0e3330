"""Bursts told from one long callback, and computing from waiting, on made-up samples."""

from math import inf
from types import SimpleNamespace

import pytest

from loopclinic.probe.case import Case
from loopclinic.probe.schedule import Times
from loopclinic.probe.stack import Sample
from loopclinic.probe.watchdog import Watchdog


def seen(callback=None, task=None, line=1):
    frames = (("/home/ada/app.py", line, "f"),)
    return Sample(frames, 0, synchronous_cell=False, task=task, callback=callback)


def gathered(indices, total, step=0.01):
    case = Case(0.0)
    for number, index in enumerate(indices, start=1):
        case.add(seen((index, total)), number * step)
    return case


def test_five_thousand_callbacks_seen_at_ever_other_places_are_a_burst():
    case = gathered(range(100, 5000, 100), 5000)
    assert case.callbacks == 5000
    assert case.burst(0.5, 0.05)
    assert case.longest(0.5) < 0.0005


def test_one_long_callback_among_thousands_is_no_burst():
    case = gathered([40] * 49, 5000)
    assert case.longest(0.5) == pytest.approx(0.48, abs=0.02)
    assert not case.burst(0.5, 0.05)


@pytest.mark.parametrize(
    ("indices", "total"),
    [([0, 0, 0], 1), ([0, 1, 2, 3], 4), ([20], 40)],
    ids=["one callback", "few callbacks", "looked at once"],
)
def test_what_is_too_little_to_speak_of_a_burst(indices, total):
    assert not gathered(indices, total).burst(0.06, 0.05)


def test_a_callback_that_would_be_a_stall_by_itself_is_to_blame():
    many = [1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 7, 7, 7, 8, 9, 10]
    assert not gathered(many, 12).burst(0.16, 0.05)
    assert gathered(many, 12).longest(0.16) >= 0.06


def test_where_the_loop_does_not_count_the_tasks_tell():
    busy, one = Case(0.0), Case(0.0)
    for number in range(1, 30):
        busy.add(seen(task=f"Task-{number}"), number * 0.01)
        one.add(seen(task="Task-1"), number * 0.01)
    assert busy.burst(0.3, 0.05)
    assert busy.callbacks is None
    assert not one.burst(0.3, 0.05)


def test_the_share_of_work_is_that_between_the_samples():
    case = Case(0.0)
    assert case.computes is None
    case.add(seen(), 0.1)
    case.work(0.1, Times(5.0, 0.0))
    assert case.computes is None, "one sample and nothing before it"
    case.work(0.3, Times(5.02, 0.0))
    assert case.computing == pytest.approx(0.1)
    assert case.computes is False
    case.work(0.4, Times(5.30, 0.0))
    assert case.computes


@pytest.mark.parametrize(
    ("ran", "waited", "computes"),
    [(0.05, 0.45, True), (0.002, 0.4, False), (0.2, 0.0, True), (0.002, 0.002, False)],
    ids=["for its turn among ten", "at each of many wakings", "never", "hardly"],
)
def test_who_waits_for_a_processor_computes_only_if_it_runs_too(ran, waited, computes):
    case = Case(0.0)
    case.add(seen(), 0.1)
    case.work(0.1, Times(1.0, 1.0))
    case.work(0.6, Times(1.0 + ran, 1.0 + waited))
    assert case.computes is computes


def test_what_the_thread_does_when_it_is_over_is_no_part_of_it():
    case = Case(0.0, before=(Times(1.0, 0.0), 0.0))
    case.add(seen(), 0.1)
    case.work(0.1, Times(1.1, 0.0))
    case.ended = 0.1
    case.work(0.2, Times(1.1, 0.0))
    assert case.computing == pytest.approx(1.0)


def test_one_sample_is_compared_with_a_calm_moment_before():
    for work, computes in ((1.001, False), (1.09, True)):
        case = Case(0.0, before=(Times(1.0, 0.0), 0.0))
        case.add(seen(), 0.1)
        case.work(0.1, Times(work, 0.0))
        assert case.computes is computes


def test_what_was_busy_before_it_leaves_open_whether_one_sample_shows_work():
    for unknown, work, computes in (
        (0.05, 1.15, True),  # 0.15 s of work since then, of which 0.05 at most were before
        (0.05, 1.05, None),  # either all of it was before, or half of this was work
        (0.05, 1.01, False),
    ):
        case = Case(0.0, before=(Times(1.0, 0.0), unknown))
        case.add(seen(), 0.1)
        case.work(0.1, Times(work, 0.0))
        assert case.computes is computes


def test_where_the_scheduler_tells_nothing_many_lines_mean_work():
    case = Case(0.0)
    for line in (1, 2):
        case.add(seen(line=line), line * 0.01)
    assert case.computes is None
    case.add(seen(line=3), 0.03)
    assert case.computes


def test_a_sample_that_comes_to_hand_late_gets_its_own_time():
    case = Case(0.0)
    case.add(seen(line=2), 1.0)  # taken from within, when the GIL was free again
    case.add(seen(line=1), 0.1)
    case.add(seen(line=1), 0.9)  # heard of only then
    assert case.guilty.frames[0][1] == 1
    assert case.last == 1.0


def test_what_is_learned_while_the_loop_tells_its_end_is_told_when_that_is_over():
    told = []
    meter = SimpleNamespace(began=5.0, sinks=[SimpleNamespace(amend=told.append)])
    watchdog = Watchdog(meter)
    still, ending = Case(5.0), Case(5.0)
    ending.ended = 6.0
    watchdog._amend([still, ending])
    assert told == [], "neither is over yet"
    meter.began = inf
    watchdog._amend([])
    watchdog._amend([])
    assert told == [ending]
