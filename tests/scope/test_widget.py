"""The scope's widget, without a browser."""

import asyncio
import gc
import math
import re
import time

import pytest

from loopclinic.probe import Probe
from loopclinic.scope import widget
from loopclinic.scope.widget import Scope


@pytest.fixture(autouse=True)
def cell(monkeypatch):
    """The cell that runs, and the request that runs it."""
    monkeypatch.setattr(Scope, "_of_cell", {})
    running = {"cell": None, "run": ""}
    monkeypatch.setattr(widget, "_running_cell", lambda: (running["cell"], running["run"]))
    return running


@pytest.fixture
def sent(monkeypatch):
    messages = []
    monkeypatch.setattr(Scope, "send", lambda self, content, *_: messages.append(content))
    return messages


async def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


def freeze(seconds):
    time.sleep(seconds)


async def test_ticks_flow_while_the_loop_is_stuck(sent):
    with Scope() as scope:
        await until(lambda: sent)
        before = len(sent)
        freeze(1)
        meanwhile = sent[before:]
        assert 4 <= len(meanwhile) <= 14
        stuck = [one["stall"] for one in meanwhile if one["stall"]]
        assert stuck[-1]["seconds"] > 0.5
        assert "freeze" in stuck[-1]["function"]
        assert stuck[-1]["conflict"] == "blocking-sleep"
        await until(lambda: scope.recorder.stalls)
    assert sent[-1] == {"kind": "stopped"}
    assert len([one for message in sent for one in message.get("ended", ())]) == 1


async def test_what_stalls_as_it_stops_is_listed_and_no_longer_in_progress(sent):
    scope = Scope()
    await until(lambda: sent)
    await asyncio.sleep(0)
    freeze(0.3)
    scope.stop()
    stall = scope.recorder.stalls[-1]  # a machine that was late may have made others before
    assert stall["conflict"] == "blocking-sleep"
    assert scope.recorder.history()["now"]["stall"] is None
    ended = [one["id"] for message in sent for one in message.get("ended", ())]
    assert ended == [one["id"] for one in scope.recorder.stalls]
    assert sent[-1] == {"kind": "stopped"}


async def test_it_stops_the_probe_that_it_started_and_no_other(sent):
    scope = Scope()
    scope.close()
    scope.close()
    assert not scope.probe.running
    with Probe() as probe:
        scope = Scope(probe)
        scope.close()
        assert probe.running
        assert probe.pace == math.inf


async def test_the_cell_run_again_replaces_what_it_made_and_two_scopes_of_one_run_live(sent, cell):
    cell.update(cell="a", run="1")
    first, second = Scope(), Scope()
    assert first.probe.running
    assert second.probe.running
    cell.update(cell="b", run="2")
    other = Scope()
    cell.update(cell="a", run="3")
    third = Scope()
    running = [one.probe.running for one in (first, second, other, third)]
    assert running == [False, False, True, True]
    for one in (other, third):
        one.close()


async def test_a_scope_that_no_page_shows_stops_and_one_that_is_shown_does_not(sent, monkeypatch):
    monkeypatch.setattr(widget, "_UNSEEN", 0.5)
    shown, unseen = Scope(), Scope()

    def page():
        shown._on_message(shown, {"kind": "alive"}, [])
        return not unseen.probe.running

    await until(page)
    assert shown.probe.running
    assert unseen.recorder.stopped
    shown.close()


async def test_where_there_is_no_page_text_and_a_still_picture_stand_in(sent, cell):
    with Scope() as scope:
        await until(lambda: sent)
        freeze(0.2)
        await until(lambda: scope.recorder.stalls)
        data, _ = scope._repr_mimebundle_()
        assert data["image/png"]
        assert "time.sleep" in data["text/plain"]
        assert re.search(
            r"^\d+ stalls?$", data["text/plain"], re.MULTILINE
        )  # a busy machine adds some
        assert "application/vnd.jupyter.widget-view+json" in data


async def test_a_picture_takes_no_stall_away_from_the_page(sent):
    with Scope() as scope:
        await until(lambda: sent)
        freeze(0.2)
        await asyncio.sleep(0)
        scope.picture()
        # What was recorded is sent a moment later, on another thread.
        await until(lambda: [one for message in sent for one in message["ended"]])
        assert len(scope.recorder.stalls) == 1
        assert len([one for message in sent for one in message["ended"]]) == 1


async def test_the_history_is_asked_for_and_not_pushed():
    with Scope() as scope:
        await until(lambda: scope.recorder.now)
        state = scope.get_state("history")
        assert state["history"]["now"]["kind"] == "tick"
        assert state["history"]["settings"]["threshold"] == 0.05


def test_without_a_loop_it_says_what_to_do_and_leaves_nothing():
    with pytest.raises(RuntimeError, match="inside a coroutine"):
        Scope()
    gc.collect()  # warnings are errors: what __del__ raises would fail this test
