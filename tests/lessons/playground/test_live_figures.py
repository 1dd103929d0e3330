"""Latencies of recent calls: percentiles with calls that still wait, rates, Little's law."""

import math

import pytest

from loopclinic.lessons.playground.live_figures import RecentCalls, waited


def taken(at, latency=(), **more):
    known = {
        "seconds": 0.25,
        "failed": {},
        "attempts": len(latency),
        "in_flight_seconds": 0.0,
        "ages": [],
    }
    return {"at": at, "latency": list(latency), **known, **more}


def test_those_who_wait_longer_than_the_p99_count_and_no_others():
    answered = [0.01] * 98 + [0.1, 0.2]
    assert waited(answered, [0.05, 0.1]) == sorted(answered)
    assert waited(answered, [3.0, 0.05])[-1] == 3.0
    assert waited([], [0.4]) == [0.4]


def test_a_service_that_answers_nobody_does_not_look_well():
    window = RecentCalls(2.0)
    window.add(taken(0.25, [0.01] * 20))
    before = window.figures()
    window.add(taken(0.5, ages=[1.5, 1.2]))
    after = window.figures()
    assert before.p99 == 0.01
    assert after.p99 == 1.5


def test_rates_and_the_mean_in_flight_are_of_the_window():
    window = RecentCalls(1.0)
    for number in range(1, 9):
        window.add(taken(number / 4, [0.02] * 25, attempts=50, in_flight_seconds=0.5))
    seen = window.figures()
    assert seen.seconds == pytest.approx(1.0)
    assert seen.answered == pytest.approx(100)
    assert seen.attempts == pytest.approx(200)
    assert seen.in_flight == pytest.approx(2.0)
    assert seen.count == 100


def test_failures_are_counted_by_reason_and_a_timeout_is_no_answer():
    window = RecentCalls(1.0)
    window.add(taken(1.0, [0.1, 0.3], seconds=1.0, failed={"timeout": 1, "HTTP 503": 3}))
    seen = window.figures()
    assert seen.answered == pytest.approx(1)
    assert seen.failed == pytest.approx(4)
    assert list(seen.reasons) == ["HTTP 503", "timeout"]


def test_cleared_it_counts_from_then():
    window = RecentCalls(30.0)
    window.add(taken(10.0, [5.0] * 10, in_flight_seconds=100.0))
    window.clear()
    assert window.figures() is None
    window.add(taken(12.0, [0.1] * 4, seconds=2.0, in_flight_seconds=1.0))
    seen = window.figures()
    assert (seen.seconds, seen.p99, seen.in_flight) == (2.0, 0.1, 0.5)


def test_no_answers_are_no_figures():
    window = RecentCalls(1.0)
    window.add(taken(1.0))
    assert math.isnan(window.figures().p99)


def test_memory_is_bounded():
    window = RecentCalls(1e9)
    for number in range(100):
        window.add(taken(float(number), [0.1] * 1000))
    assert window.figures().count <= 41_000
