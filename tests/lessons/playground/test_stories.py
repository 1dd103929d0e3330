"""Each step of each story against the formula that speaks of it, in one run, by ratios.

Bounds: a factor of two, for the machine is shared; counts and held seconds are the service's own.
"""

import pytest

from loopclinic.lessons.playground.forecast import forecast
from loopclinic.lessons.playground.queueing import Line, little
from loopclinic.lessons.playground.settings import Settings
from loopclinic.lessons.playground.stories import STORIES

pytestmark = [pytest.mark.slow, pytest.mark.prove]

CALM = Settings(rate=20, service=0.005)


def positions():
    """The different positions of each story."""
    for story in STORIES.values():
        seen = []
        for number, step in enumerate(story.steps):
            if step.settings not in seen:
                seen.append(step.settings)
                yield pytest.param(step.settings, id=f"{story.key}-{number}")


@pytest.fixture
def calm(watched):
    """The rig once what the position before has left is worked off."""
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
    # Utilization: places in use are the rate times the service time.
    line = Line(settings.places, settings.rate, settings.service, fastest_at=settings.fastest_at)
    blocked = settings.share * settings.rate * settings.block * (settings.remedy == "none")
    for_the_loop = blocked * settings.block / (2 * (1 - blocked))  # Pollaczek and Khinchine
    load = little(asked, settings.service * line.stretch + for_the_loop)
    assert load / 2 < held < 2 * load
    # Little's law on what the callers saw.
    crowd = little(seen.moment.count / seen.moment.seconds, seen.moment.mean)
    assert crowd / 2 < seen.moment.in_flight < 2 * crowd
    # Nobody is faster than the work itself.
    assert seen.moment.mean > (settings.service + settings.share * settings.block) / 2


def test_the_limit_makes_everything_faster(calm):
    limited, crowd, *_ = (step.settings for step in STORIES["limit"].steps)
    p50, mean, p99, answered = {}, {}, {}, {}
    for settings in (limited, crowd):
        calm.turn(settings)
        calm.look(3.0)  # until the crowd is there
        seen = calm.look(7.0).moment
        for figure, name in ((p50, "p50"), (mean, "mean"), (p99, "p99"), (answered, "answered")):
            figure[settings] = getattr(seen, name)
    for figure in (p50, mean, p99):
        assert figure[crowd] > 2 * figure[limited]
    assert answered[limited] > answered[crowd]
