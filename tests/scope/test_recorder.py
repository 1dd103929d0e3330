"""The scope's recorder: ticks, stalls and history as JSON."""

import asyncio
import json
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from loopclinic.probe import Frame, Snapshot, Stall
from loopclinic.scope import recorder as module
from loopclinic.scope.recorder import Recorder
from tests.probe.fakes import FakeLoop


@pytest.fixture
def loop():
    return FakeLoop()


@pytest.fixture
def probe(loop):
    with loop.probe(threshold=0.05) as probe:
        yield probe


def settled(loop, probe):
    """A recorder whose first iteration is over."""
    recorder = Recorder(probe)
    loop.idle(0.01)
    loop.busy(0.001)
    recorder.tick()
    return recorder


def run(loop, recorder, seconds, busy=0.001):
    """Record a loop that runs normally, at ten ticks per second."""
    for _ in range(round(seconds * 10)):
        loop.idle(0.1 - busy)
        loop.busy(busy)
        recorder.tick()


def test_an_idle_loop_has_little_lag_and_no_stall(loop, probe):
    recorder = settled(loop, probe)
    run(loop, recorder, 10)
    now = recorder.now
    assert 0.0005 < now["lag"] < 0.002
    assert now["worst"] < 0.002
    assert 0.005 < now["utilization"] < 0.02
    assert (now["stall"], now["crowded"], list(recorder.stalls)) == (None, None, [])
    assert all(lag is not None and lag < 0.002 for _, lag in recorder.ticks)


def test_a_stall_in_progress_grows_and_takes_the_place_of_lag_on_the_strip(loop, probe):
    recorder = settled(loop, probe)
    run(loop, recorder, 5)
    lags = []
    for _ in range(3):
        loop.look(probe, 0.5)
        tick = recorder.tick()
        lags.append(tick["lag"])
        assert tick["strip"] is None
        assert tick["stall"]["seconds"] == tick["lag"]
        assert tick["worst"] == tick["lag"]
    assert lags == pytest.approx([0.5, 1.0, 1.5], abs=0.01)


def test_a_stall_is_told_of_once_when_it_ends(loop, probe):
    recorder = settled(loop, probe)
    run(loop, recorder, 5)
    loop.look(probe, 2.0)
    recorder.tick()
    loop.busy(0)
    ended = recorder.tick()["ended"]
    assert [one["seconds"] for one in ended] == pytest.approx([2.0], abs=0.01)
    assert recorder.tick()["ended"] == []
    run(loop, recorder, 1)
    assert [one["id"] for one in recorder.stalls] == [one["id"] for one in ended]
    assert recorder.now["stall"] is None
    assert recorder.now["worst"] == pytest.approx(2.0, abs=0.01)


def test_the_worst_and_p99_forget_what_is_older_than_a_minute_and_the_list_does_not(loop, probe):
    recorder = settled(loop, probe)
    run(loop, recorder, 2)
    loop.look(probe, 2.0)
    loop.busy(0)
    run(loop, recorder, 50)
    assert recorder.now["p99"] > 0.5
    run(loop, recorder, 20)
    assert recorder.now["worst"] < 0.01
    assert recorder.now["p99"] < 0.01
    assert len(recorder.stalls) == 1


def test_making_the_scope_is_no_stall_and_no_lag(loop, probe):
    loop.idle(1)
    loop.now += 0.1
    recorder = Recorder(probe)
    loop.look(probe, 0.2)
    assert recorder.tick()["stall"] is None
    loop.busy(0)
    run(loop, recorder, 2)
    assert list(recorder.stalls) == []
    assert recorder.now["worst"] < 0.01
    assert recorder.now["p99"] < 0.01


def test_a_long_stall_right_after_making_the_scope_is_one(loop, probe):
    loop.idle(1)
    recorder = Recorder(probe)
    loop.look(probe, 3.0)
    assert recorder.tick()["stall"]["seconds"] == pytest.approx(3.0, abs=0.01)
    loop.busy(0)
    run(loop, recorder, 2)
    assert [one["seconds"] for one in recorder.stalls] == pytest.approx([3.0], abs=0.01)
    assert recorder.now["p99"] > 1


def test_many_short_callbacks_are_called_too_much_work(loop, probe):
    recorder = settled(loop, probe)
    run(loop, recorder, 3)
    assert recorder.now["crowded"] is None
    run(loop, recorder, 3, busy=0.04)
    assert recorder.now["crowded"] is None
    for _ in range(200):
        loop.busy(0.02)
        recorder.tick()
    assert recorder.now["crowded"] > 0.95
    assert recorder.now["stall"] is None


def test_after_a_stall_the_second_it_fills_is_not_called_too_much_work(loop, probe):
    recorder = settled(loop, probe)
    run(loop, recorder, 3)
    loop.look(probe, 2.0)
    loop.busy(0)
    recorder.tick()
    assert recorder.now["crowded"] is None


def test_memory_is_bounded(loop, probe):
    recorder = settled(loop, probe)
    for _ in range(120):
        loop.busy(0.06)
        run(loop, recorder, 1)
    history = recorder.history()
    assert len(history["ticks"]) <= 900
    assert len(history["stalls"]) == 50
    assert len(recorder._past) <= 62
    newest = [one["started"] for one in history["stalls"]]
    assert newest == sorted(newest), "newest last, oldest dropped"
    assert len(json.dumps(history)) < 100_000
    assert len(json.dumps(recorder.now)) < 3_000, "sent ten times a second"


def test_the_history_tells_a_late_page_all_and_what_ended_not_twice(loop, probe):
    recorder = Recorder(probe)
    loop.idle(0.01)
    run(loop, recorder, 1)
    loop.look(probe, 1.0)
    loop.busy(0)
    recorder.tick()
    history = recorder.history()
    assert history["now"]["ended"] == []
    assert len(history["stalls"]) == 1
    assert history["settings"]["threshold"] == 0.05
    treated = history["settings"]["lessons"]["blocking-sleep"]
    assert treated == ["01_blocking_sleep", "One retry, everybody waits"]


def test_a_synchronous_cell_is_marked_by_its_own_line(monkeypatch):
    """Although a line of the kit that it calls was at work."""
    monkeypatch.setattr(module, "cell_label", {"x": "cell [4]"}.get)
    frames = Frame("shell.py", 7, "run_code", ""), Frame("x", 1, "<module>", "race(slow)"), Frame("race.py", 9, "race", "call()")  # fmt: skip
    stall = Stall(
        started=2.0, seconds=1.0, synchronous_cell=True, file="race.py", line=9, stack=frames
    )
    nothing = Snapshot(
        at=1.0, iterations=9, idle=1.0, age=0.0, counts=(0,) * 512, sums=(0.0,) * 512
    )
    probe = SimpleNamespace(
        snapshot=lambda: nothing,
        census=lambda: SimpleNamespace(
            tasks=1, requests=None, executor_busy=0, executor_workers=6, executor_queued=0
        ),
        current=lambda: None,
        stalls=(stall,),
        witness_url=None,
        threshold=0.05,
    )
    recorder = Recorder(probe)
    told = recorder.tick()["ended"]
    found = [(one["cell"], one["where"], one["code"], one["prompt"]) for one in told]
    assert found == [(True, "cell [4], line 1", "race(slow)", "[4]")]


def test_pages_may_ask_for_the_history_while_the_probe_ticks(loop, probe):
    usual = sys.getswitchinterval()
    recorder = settled(loop, probe)
    run(loop, recorder, 60)
    asked, stop, broken = threading.Event(), threading.Event(), []

    def ask():
        while not stop.is_set():
            try:
                recorder.history()
            except Exception as error:
                broken.append(error)
            asked.set()

    asking = threading.Thread(target=ask)
    asking.start()
    asked.wait()
    sys.setswitchinterval(1e-6)  # threads take turns at every chance
    try:
        for _ in range(200):
            recorder.tick()
    finally:
        sys.setswitchinterval(usual)
        stop.set()
        asking.join()
    assert not broken


LESSONS = Path(module.__file__).parents[1] / "lessons"
LOOP = f"{Path(asyncio.__file__).parent}/events.py"
LOAD = str(LESSONS.parent / "load/generator.py")
STORY, LADDER = (
    str(LESSONS / "unbounded_gather/posts.py"),
    str(LESSONS / "unbounded_gather/ladder.py"),
)


@pytest.mark.parametrize(
    ("files", "kits"),
    [
        (["/home/ada/app.py", LOOP, LOAD, "/usr/lib/python3.11/json/encoder.py"], True),
        (["/home/ada/app.py", LOOP, LOAD, "/home/ada/app.py"], False),
        ([LOOP, "/home/ada/app.py", STORY], True),
        ([LOOP, LOAD, LADDER], False),
        ([LOOP, "/usr/lib/python3.11/json/encoder.py"], False),
    ],
)
def test_what_the_kit_does_itself_is_told_as_such(files, kits):
    stack = tuple(Frame(one, 7, "_run" if one == LOOP else "work", "") for one in files)
    stall = Stall(1.0, 0.5, file=files[-1], line=7, function="work", stack=stack)
    assert module._stall(stall)["kit"] is kits
