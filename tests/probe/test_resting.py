"""A loop at rest is not looked at: the watchdog sleeps until the loop wakes it."""

import asyncio
import sys
import threading
import time
from math import inf
from pathlib import Path

import pytest

from loopclinic.probe import Probe, watchdog

from .fakes import FakeLoop


@pytest.fixture
def rested(monkeypatch):
    """Return a fake loop, its probe and a function that lets it rest for some looks."""
    monkeypatch.setattr(watchdog, "_ALONE", 1000)
    loop = FakeLoop()
    probe = loop.probe()
    probe.start()
    dog = probe._meter.watchdog

    def look():
        dog._whole, dog._wait, dog._awake_wait = inf, 0.025, 0.025
        dog.looked = loop.now - 0.025
        return dog._skip(loop.now)

    def rest(looks):
        loop._selector.meanwhile = lambda: [look() for _ in range(looks)]
        loop.idle(0.3)

    yield loop, probe, rest
    probe.stop()


def woken(dog):
    return dog._ended.acquire(blocking=False)


def test_a_loop_that_rests_from_one_look_to_the_next_is_left_alone_until_it_wakes(rested):
    loop, probe, rest = rested
    dog = probe._meter.watchdog
    rest(1)
    assert not woken(dog), "it may be one of many short rests"
    rest(2)
    assert dog._wait == 1.0
    assert woken(dog)
    assert not probe._meter.asleep
    began = loop.now
    loop.now += 0.001
    assert dog._awake(loop.now)
    assert dog._wait == pytest.approx(probe.threshold / 2 - 0.001)
    loop.now = began + 0.3  # the iteration has kept the watchdog from the GIL
    assert not dog._awake(loop.now)
    dog.look()
    loop.busy(0)
    (stall,) = probe.report().stalls
    assert stall.seconds == pytest.approx(0.3)
    assert stall.line


def test_where_another_thread_could_keep_the_gil_the_watchdog_stays_awake(rested, monkeypatch):
    _, probe, rest = rested
    monkeypatch.setattr(watchdog, "_ALONE", len(sys._current_frames()) - 1)
    rest(5)
    assert not woken(probe._meter.watchdog)
    assert probe._meter.watchdog._wait == 0.025


def test_subscribers_are_called_as_often_as_they_want_of_a_loop_at_rest(rested):
    _, probe, rest = rested
    probe.subscribe(lambda: None, every=0.5)
    rest(3)
    assert probe._meter.watchdog._wait == pytest.approx(0.51)
    probe.subscribe(lambda: None, every=0.02)
    rest(3)
    assert probe._meter.watchdog._wait == 0.025


def test_an_idle_loop_in_a_thread_of_its_own_wakes_nobody():
    """Counted by the kernel: what the watchdog did in half a second."""

    def wakings(thread):
        lines = Path(f"/proc/self/task/{thread.native_id}/status").read_text("ascii").splitlines()
        return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)

    async def main():
        with Probe() as probe:
            await asyncio.sleep(0.3)
            (dog,) = (one for one in threading.enumerate() if one.name == "loopclinic-watchdog")
            before = wakings(dog)
            await asyncio.sleep(0.5)
            after = wakings(dog)
            time.sleep(0.1)
        return after - before, probe.report().stalls

    if sys.platform != "linux" or len(sys._current_frames()) > 1:
        pytest.skip("it tells nothing beside other threads, nor on other systems")
    woke, stalls = asyncio.run(main())
    assert woke < 12, "forty times a second it would be 20"
    assert [stall.line is not None for stall in stalls] == [True]
