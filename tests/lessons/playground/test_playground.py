"""The whole playground without a browser: settings, stories, recordings, shutdown."""

import asyncio
import time

import psutil
import pytest

from loopclinic.lessons.playground import playground as module
from loopclinic.lessons.playground.playground import Playground
from loopclinic.lessons.playground.recording import RecordingError, recordings
from loopclinic.lessons.playground.settings import Settings
from loopclinic.lessons.playground.stories import STORIES


def wait(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def pids(play):
    processes = play._updates.processes
    return processes.pids if processes is not None else ()


@pytest.fixture(scope="module")
def play():
    one = Playground(Settings(rate=40))
    wait(lambda: one._updates.points)
    yield one
    one.close()


def test_a_control_that_is_turned_reaches_the_service(play):
    play.controls.parts["share"].value = 0.05
    play.controls.parts["block"].value = 0.15
    wait(lambda: play._updates.settings == Settings(rate=40, share=0.05, block=0.15))
    wait(lambda: any("blocks 150 ms" in words for words in marks(play)))
    assert play._caption["title"] == "Blocks 150 ms."
    assert "where theory expects it now" in play._caption["says"]
    wait(lambda: play._remote.known()["stalls"])
    assert play.settings == play._updates.settings
    play.turn(share=0.0)
    assert play.controls.parts["share"].value == 0


def test_five_dials_are_in_view_and_the_others_unfold(play):
    first, more, rest = play.controls.children
    assert list(first.children) == [
        play.controls.parts[name] for name in ("share", "how", "block", "remedy", "rate")
    ]
    folded = [part for group in rest.children for part in group.children[1:]]
    assert {*first.children, *folded} == {*play.controls.parts.values()}
    assert rest.layout.display == "none"
    more.value = True
    assert rest.layout.display is None
    more.value = False


def marks(play):
    return [mark["words"] for mark in play.chart.all_known()["marks"]]


def test_a_control_without_such_a_value_is_refused(play):
    with pytest.raises(ValueError, match="above zero"):
        play.turn(rate=0)
    with pytest.raises(ValueError, match="no control named speed"):
        play.turn(speed=1)


def test_a_minute_is_kept_laid_under_and_handed_out(play, monkeypatch):
    sent = []
    monkeypatch.setattr(
        play.chart, "send", lambda message, buffers=None: sent.append((message, buffers))
    )
    kept = play.keep("first try")
    assert recordings()["first try"] == kept
    play.saved_runs.lay_under("first try")
    assert play.chart.all_known()["over"]["name"] == "first try"
    play.saved_runs._download(play.saved_runs._chosen(), "JSON")
    play.saved_runs._download(play.saved_runs._chosen(), "PNG")
    files = {message["name"]: buffers[0] for message, buffers in sent if message["kind"] == "file"}
    assert files["playground-first-try.json"].decode() == kept.to_json()
    assert files["playground-first-try.png"].startswith(b"\x89PNG")
    upload = {"content": memoryview(kept.to_json().replace("first try", "second").encode())}
    play.saved_runs._upload({"new": (upload,)})
    assert play.chart.all_known()["over"]["name"] == "second"
    play.saved_runs.lay_under("")
    assert play.chart.all_known()["over"] is None
    with pytest.raises(RecordingError):
        play.keep(" ")


@pytest.mark.prove
async def test_a_story_turns_the_controls_and_says_its_figures(play):
    told = await play.tell("two-percent", seconds=6)
    steps = STORIES["two-percent"].steps
    assert play.settings == steps[-1].settings
    assert "with two in a hundred blocking the loop" in str(told)
    assert "2 % block" in str(told)
    assert "what is left is their own time" in play._caption["says"]
    assert told.html.count("<tr>") == 1 + len(steps)


async def test_who_turns_a_control_takes_over(play):
    telling = asyncio.ensure_future(play.tell("retry-storm", seconds=60))
    await asyncio.sleep(0.5)
    play.controls.parts["rate"].value = 33
    with pytest.raises(RuntimeError, match="turned by somebody else"):
        await telling
    await asyncio.to_thread(wait, lambda: play._updates.settings.rate == 33)
    assert "you have turned a control" in play._caption["says"]


async def test_positions_are_measured_beside_theory(play):
    play.turn(rate=33)
    found = await play.measure(Settings(rate=40), Settings(rate=80), seconds=1.5)
    assert play.settings.rate == 33, "the controls go back to where they were"
    assert [line.count("by theory") for line in str(found).splitlines()] == [3, 3]
    assert found.html.count("<tr>") == 3


def test_an_unseen_playground_ends_and_starts_again(play, monkeypatch):
    monkeypatch.setattr(module, "_UNSEEN", 0.5)
    monkeypatch.setattr(play, "_seen_at", 0.0)
    ended = pids(play)
    wait(lambda: not play._run.value)  # set last
    assert not play.running
    assert not any(psutil.pid_exists(pid) for pid in ended)
    assert play.chart.all_known()["points"], "the page keeps what it shows"
    monkeypatch.setattr(module, "_UNSEEN", 60)
    play._run.value = True
    wait(lambda: play._updates.points)
    assert play.running


def test_a_second_one_ends_the_first(play):
    before = pids(play)
    other = Playground(Settings(rate=20))
    assert not play.running
    assert not any(psutil.pid_exists(pid) for pid in before)
    other.close()
    assert not other.running


@pytest.mark.parametrize("story", STORIES.values(), ids=lambda story: story.key)
def test_a_story_takes_a_minute_at_most_and_each_step_says_something(story):
    assert sum(step.seconds for step in story.steps) <= 60
    assert all(step.sentence.endswith(".") for step in story.steps)
    assert all(a.settings != b.settings for a, b in zip(story.steps, story.steps[1:], strict=False))
    assert sum(step.seconds for step in story.within(12)) == pytest.approx(12)
