"""The scope's still picture."""

import io

import pytest

from loopclinic.scope.recorder import Recorder
from loopclinic.scope.still_picture import picture
from tests.probe.fakes import FakeLoop


@pytest.fixture
def loop():
    return FakeLoop()


@pytest.fixture
def recorder(loop):
    with loop.probe(threshold=0.05) as probe:
        yield Recorder(probe)


def words(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()]


def run(loop, recorder, ticks):
    for _ in range(ticks):
        loop.idle(0.099)
        loop.busy(0.001)
        recorder.tick()


@pytest.mark.parametrize("dark", [False, True])
def test_the_picture_says_what_the_widget_says(loop, recorder, dark):
    run(loop, recorder, 30)
    loop.look(recorder.probe, 2.31)
    recorder.tick()
    figure = picture(recorder.history(), dark=dark)
    said = words(figure)
    assert "Stalled" in said
    assert any("2.31 s" in one for one in said)
    loop.busy(0)
    run(loop, recorder, 10)
    assert "Calm" in words(picture(recorder.history(), dark=dark))
    out = io.BytesIO()
    figure.savefig(out, format="png")
    assert out.getvalue().startswith(b"\x89PNG")


def test_nothing_yet_is_a_picture_too(recorder):
    assert words(picture(recorder.history()))


def test_the_two_themes_differ(loop, recorder):
    run(loop, recorder, 3)
    light, dark = (picture(recorder.history(), dark=dark) for dark in (False, True))
    assert sum(light.get_facecolor()[:3]) > 2.5
    assert sum(dark.get_facecolor()[:3]) < 0.6


def test_lengths_do_not_stand_in_each_other(loop, recorder):
    run(loop, recorder, 3)
    for seconds in (0.6, 0.9, 0.7):  # close together: only the longest has room
        loop.look(recorder.probe, seconds)
        loop.busy(0)
        run(loop, recorder, 1)
    run(loop, recorder, 60)
    loop.look(recorder.probe, 0.8)
    loop.busy(0)
    run(loop, recorder, 30)
    strip = picture(recorder.history()).axes[2]
    assert {text.get_text() for text in strip.texts} == {"900 ms", "800 ms"}


def test_a_short_load_fills_the_strip(loop, recorder):
    run(loop, recorder, 500)
    loop.look(recorder.probe, 2.31)
    loop.busy(0)
    run(loop, recorder, 20)
    strip = picture(recorder.history()).axes[2]
    assert strip.get_xlim() == (-10, 0)
    assert "10 s" in strip.get_title(loc="left")
