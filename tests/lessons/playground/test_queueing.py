"""Queueing theory on numbers that are known by hand or from tables."""

import math

import numpy as np
import pytest

from loopclinic.lessons.playground.forecast import forecast
from loopclinic.lessons.playground.queueing import (
    Line,
    erlang_b,
    erlang_c,
    little,
    loop_waits,
    waits_on_return,
)
from loopclinic.lessons.playground.settings import Settings


@pytest.mark.parametrize(
    ("places", "load", "blocked"),
    [(1, 1.0, 1 / 2), (2, 1.0, 1 / 5), (3, 2.0, 4 / 19), (5, 3.0, 0.110054), (10, 5.0, 0.018385)],
)
def test_erlang_b(places, load, blocked):
    assert erlang_b(places, load) == pytest.approx(blocked, rel=1e-4)


@pytest.mark.parametrize(
    ("places", "load", "waits"),
    [(1, 0.7, 0.7), (2, 1.0, 1 / 3), (3, 2.0, 4 / 9), (5, 4.0, 0.554113), (10, 8.0, 0.409180)],
)
def test_erlang_c(places, load, waits):
    assert erlang_c(places, load) == pytest.approx(waits, rel=1e-4)
    assert erlang_c(places, places + 0.1) == 1.0


def test_many_places_overflow_nothing():
    assert 0 < erlang_c(500, 480.0) < 1
    assert erlang_c(500, 10.0) < 1e-100


def test_mm1_in_closed_form():
    line = Line(1, rate=80, service=0.01)
    assert line.utilization == pytest.approx(0.8)
    assert line.wait == pytest.approx(0.8 / (100 - 80))
    assert line.waits == pytest.approx(0.8)
    assert line.most == pytest.approx(100)


def test_mm2_in_closed_form():
    line = Line(2, rate=100, service=0.01)
    assert line.wait == pytest.approx(1 / 3 / (200 - 100))
    assert little(line.rate, line.wait + line.service) == pytest.approx(4 / 3)


def test_md1_waits_half_as_long_as_mm1():
    fixed = Line(1, rate=50, service=0.01, service_spread=0.0)
    assert fixed.wait == pytest.approx(Line(1, rate=50, service=0.01).wait / 2)
    assert Line(1, rate=50, service=0.01, arrival_spread=9.0).wait == pytest.approx(0.05)


def test_places_that_slow_each_other_down():
    # With two at work each takes three times as long: 1, then 2/3 as many are done as by one alone.
    line = Line(2, rate=50, service=0.01, fastest_at=1)
    assert line.most == pytest.approx(200 / 3)
    # Weights of none, one, two and more: 1, 1/2, 3/2.
    assert line.waits == pytest.approx(1 / 2)
    assert line.stretch == pytest.approx((1 / 6 + 2 / 2) / 0.5)
    assert line.wait == pytest.approx(0.5 / (200 / 3 - 50))
    assert not Line(2, rate=70, service=0.01, fastest_at=1).stable


def test_places_that_hardly_slow_each_other_down_are_erlang_s():
    line = Line(10, rate=80, service=0.1, fastest_at=10**6)
    assert line.waits == pytest.approx(erlang_c(10, 8.0))
    assert line.stretch == pytest.approx(1)


def test_most_is_done_by_as_many_as_it_is_fastest_with():
    most = {places: Line(places, 1.0, 0.1, fastest_at=8).most for places in range(1, 65)}
    assert max(most, key=most.get) == 8


def test_a_line_that_can_not_keep_up():
    line = Line(4, rate=100, service=0.05)
    assert not line.stable
    assert math.isinf(line.wait)
    assert line.waits == 1.0


def test_a_blocked_loop_waits_as_pollaczek_and_khinchine_say():
    rng = np.random.default_rng(1)
    waits = loop_waits(rng, 200_000, 0.4, 0.1)
    assert waits.mean() == pytest.approx(0.4 * 0.1 / (2 * (1 - 0.4)), rel=0.02)
    assert (waits > 0).mean() == pytest.approx(0.4, abs=0.005)


def test_who_comes_back_late_enough_finds_the_loop_as_anybody_does():
    rng, none = np.random.default_rng(1), np.zeros(20_000)
    waits = waits_on_return(rng, none, none + 3.0, 4.0, 0.1)
    assert waits.mean() == pytest.approx(0.4 * 0.1 / (2 * (1 - 0.4)), rel=0.05)
    assert (waits > 0).mean() == pytest.approx(0.4, abs=0.01)


def test_who_comes_back_at_once_waits_for_who_came_behind():
    rng, none = np.random.default_rng(1), np.zeros(50_000)
    assert waits_on_return(rng, none, none, 4.0, 0.1).max() == 0
    waits = waits_on_return(rng, none + 0.5, none, 4.0, 0.1)
    assert waits.mean() == pytest.approx(4.0 * 0.5 * 0.1, rel=0.02)
    assert waits_on_return(rng, none + 0.5, none + 0.02, 0.0, 0.1).max() == 0


def test_who_is_away_for_a_moment_hardly_meets_another_block():
    rng, none = np.random.default_rng(1), np.zeros(50_000)
    waits = waits_on_return(rng, none, none + 0.02, 4.0, 0.1)
    assert (waits > 0).mean() == pytest.approx(1 - math.exp(-4.0 * 0.02), rel=0.05)
    assert waits[waits > 0].mean() == pytest.approx(0.1 - 0.02 / 2, rel=0.05)


def test_the_forecast_of_an_mm1():
    one = forecast(Settings(rate=80, service=0.01, spread=1.0, pool=1, capacity=1), handling=0.0)
    assert (one.place, one.places) == ("pool", 1)
    assert one.mean == pytest.approx(1 / 20, rel=0.03)
    assert one.p50 == pytest.approx(math.log(2) / 20, rel=0.03)
    assert one.p99 == pytest.approx(math.log(100) / 20, rel=0.06)
    assert one.in_flight == pytest.approx(4, rel=0.03)
    assert one.waits == pytest.approx(0.8)
    assert one.throughput == 80
    assert one.broken == ()


def test_the_forecast_is_the_same_each_time():
    settings = Settings(share=0.02, bursts=4, spread=0.5)
    assert forecast(settings) == forecast(settings)


@pytest.mark.parametrize(
    ("settings", "place", "places"),
    [
        (Settings(rate=100, service=0.1, pool=12, capacity=20), "pool", 12),
        (Settings(rate=100, service=0.1, pool=20, capacity=12), "upstream", 12),
        (Settings(rate=100, service=0.1, pool=20, capacity=20, limit=11), "limit", 11),
        (Settings(share=0.5, block=0.1, remedy="sized", threads=6), "threads", 6),
        (Settings(share=0.5, block=0.01, how="cpu", remedy="sized", threads=6), "threads", 1),
        (Settings(share=0.08, block=0.1), "loop", 1),
    ],
)
def test_the_narrowest_place_is_named(settings, place, places):
    one = forecast(settings)
    assert (one.place, one.places) == (place, places)


def test_a_loop_that_blocks_and_handles_waits_as_pollaczek_and_khinchine_say():
    # Away for 500 s between its two turns, so that both wait like anybody: two classes of service.
    settings = Settings(rate=100, share=0.02, block=0.15, service=500, spread=0, pool=10**6)
    one = forecast(settings.but(capacity=10**6), handling=0.0015)
    turn = 100 * 0.02 * 0.15**2 / (2 * (1 - 0.3 - 0.15))
    assert one.loop == pytest.approx(0.45)
    waits = one.mean - 500 - 0.02 * 0.15 - 2 * 0.0015
    assert waits == pytest.approx(turn + 0.3 * 0.15 / (2 * (1 - 0.3)), rel=0.05)


def test_without_a_steady_state_it_says_how_fast_the_line_grows():
    one = forecast(Settings(rate=100, service=0.1, pool=8))
    assert not one.stable
    assert one.throughput == pytest.approx(80)
    assert "grows by 20 a second" in one.broken[0]


def test_a_full_thread_pool_is_no_matter_of_the_pool():
    one = forecast(
        Settings(rate=100, share=0.9, block=0.1, remedy="sized", threads=8, service=0.01)
    )
    assert (one.place, one.stable) == ("threads", False)
    assert one.throughput == pytest.approx(10 + 80)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(rate=100, service=0.1, pool=8, retries=3), "arrivals depend on the waits"),
        (Settings(share=0.02), "stop at once"),
        (Settings(share=0.2, how="cpu", block=0.01, remedy="thread"), "share one GIL"),
        (Settings(share=0.2, how="cpu", block=0.01, remedy="native"), "no native form"),
        (Settings(rate=100, service=0.08, pool=64, capacity=9), "refuses new requests"),
        (Settings(rate=100, service=0.1, pool=14, spread=2.0), "Allen and Cunneen"),
        (Settings(rate=100, service=0.09, pool=9, capacity=9, timeout=0.2), "grows|timeout"),
    ],
)
def test_where_it_breaks_is_said(settings, words):
    import re

    assert any(re.search(words, said) for said in forecast(settings).broken)


def test_blocks_on_the_loop_make_everybody_wait_and_in_threads_only_themselves():
    calm = forecast(Settings(service=0.02))
    blocked = forecast(Settings(service=0.02, share=0.02, block=0.15))
    hopped = forecast(Settings(service=0.02, share=0.02, block=0.15, remedy="sized"))
    assert blocked.p99 > 2 * hopped.p99 > 2 * calm.p99
    assert hopped.p50 < 1.1 * calm.p50
