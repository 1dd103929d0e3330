"""The stories' positions against queueing theory: exactly in virtual time, and where they run.

In virtual time the bounds are what theory leaves open. In real time no upper bound is asserted: a
machine may be as slow as it likes, but nothing is faster than its work, and what is full is full.
"""

import pytest

from loopclinic.lessons.playground.forecast import forecast
from loopclinic.lessons.playground.queueing import Line, erlang_c, little
from loopclinic.lessons.playground.settings import Settings
from loopclinic.lessons.playground.stories import STORIES
from tests.lessons.playground.virtual import play

CALM = Settings(rate=20, service=0.005)


def positions():
    """The different positions of each story."""
    for story in STORIES.values():
        seen = []
        for number, step in enumerate(story.steps):
            if step.settings not in seen:
                seen.append(step.settings)
                yield pytest.param(step.settings, id=f"{story.key}-{number}")


@pytest.mark.prove
def test_virtual_time_agrees_with_erlang():
    settings = Settings(rate=50, service=0.08, spread=1.0, pool=5, capacity=64, timeout=60)
    seen = play(settings, 240)
    line = Line(5, rate=50, service=0.08)
    assert seen.of("pool", "waited") / seen.of("pool", "came") == pytest.approx(
        erlang_c(5, 4.0), abs=0.02
    )
    assert seen.of("pool", "held_seconds") / seen.seconds == pytest.approx(line.load, rel=0.02)
    assert seen.moment.mean == pytest.approx(line.wait + line.service, rel=0.1)


@pytest.mark.prove
@pytest.mark.parametrize("settings", list(positions()))
def test_theory_and_a_story_agree_in_virtual_time(settings):
    seen = play(settings, 90)
    expected = forecast(settings, handling=0.0)
    busy = seen.of("pool", "busy_seconds") / seen.seconds
    if not expected.loop:  # callers share the loop here, and are late where it is blocked
        crowd = little(seen.moment.count / seen.seconds, seen.moment.mean)
        assert seen.moment.in_flight == pytest.approx(crowd, rel=0.05), "Little's law"
    if not expected.stable:
        assert seen.moment.answered < 1.02 * expected.throughput
        assert seen.moment.failed > 0.5 * (settings.rate - expected.throughput)
        assert seen.moment.p99 >= 0.99 * settings.timeout
        if expected.place == "pool":
            assert busy > 0.97 * settings.places
        return
    assert not seen.moment.reasons
    assert seen.moment.answered == pytest.approx(settings.rate, rel=0.1)
    if settings.bursts > 1:  # formulas know only how uneven arrivals are, and say so
        assert seen.moment.mean > expected.mean
        return
    assert seen.moment.mean == pytest.approx(expected.mean, rel=0.1)
    assert seen.moment.p50 == pytest.approx(expected.p50, rel=0.1)
    assert seen.moment.p99 == pytest.approx(expected.p99, rel=0.3)
    if not expected.loop:
        line = Line(settings.places, settings.rate, settings.service)
        assert busy / settings.places == pytest.approx(line.utilization, rel=0.05)
        waited = seen.of("pool", "waited") / seen.of("pool", "came")
        assert waited == pytest.approx(line.waits, abs=0.05)


@pytest.mark.prove
def test_the_limit_makes_everything_faster():
    limited, crowd, *_ = (step.settings for step in STORIES["limit"].steps)
    with_it, without = (play(one, 120).moment for one in (limited, crowd))
    assert without.p50 > 4 * with_it.p50
    assert without.mean > 4 * with_it.mean
    assert without.p99 > with_it.p99  # cut off by the callers' patience
    assert with_it.answered > 2 * without.answered


@pytest.fixture
def calm(watched):
    """The processes once what the position before has left is worked off."""
    watched.turn(CALM)
    watched.until(
        lambda seen: (
            seen.moment
            and seen.moment.count
            and not seen.moment.reasons
            and not seen.last["pool"]["waiting"]
            and seen.last["pool"]["held"] < 3  # who left is worked for to the end
            and not seen.last["threads_queued"]
            and seen.moment.in_flight < 2
        ),
        60,
    )
    return watched


@pytest.mark.prove
@pytest.mark.parametrize("settings", list(positions()))
def test_a_position_of_a_story_is_what_its_formulas_say(calm, settings):
    calm.turn(settings)
    calm.look(0.7)
    seen = calm.look(max(2.0, 30 * settings.bursts / settings.rate))
    expected = forecast(settings)
    asked = (seen.last["pool"]["came"] - seen.first["pool"]["came"]) / seen.seconds
    held = seen.of("pool", "held_seconds") / seen.seconds
    busy = seen.of("pool", "busy_seconds") / seen.seconds

    # What the pool holds it works on, and no more than it has places.
    assert held <= settings.pool + 0.5
    assert busy <= settings.places + 0.5
    # Nobody is answered sooner than the service takes, or faster than the narrowest place gives.
    assert seen.moment.answered < 2 * min(expected.throughput, settings.places / settings.service)
    if not expected.stable:
        if expected.place in ("pool", "limit"):
            full = seen.of(expected.place, "held_seconds") / seen.seconds
            assert full > settings.places / 2, "the place that can't keep up is full"
            came, waited = (seen.of(expected.place, one) for one in ("came", "waited"))
            assert waited > came / 2, "most find it full"
        else:
            assert seen.last["threads_busy"] == settings.threads
            assert seen.last["threads_queued"] > 0
        return
    assert settings.rate / 2 < asked < 2 * settings.rate
    assert held > little(asked, settings.service) / 2
    assert seen.moment.mean > (settings.service + settings.share * settings.block) / 2
