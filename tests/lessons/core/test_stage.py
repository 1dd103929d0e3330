"""What is measured while a scene drives a lab."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from random import Random
from types import SimpleNamespace

from loopclinic.lessons.core import Call, Calls
from loopclinic.lessons.core.stage import Census, Watch, opened
from loopclinic.probe import Probe


async def watched(begin, alone=0.2):
    with Probe(threshold=0.02) as probe:
        async with Watch(probe, threading.active_count(), alone) as watch:
            calls = Calls({n: Call(begin) for n in range(2)})
            watch.calls += calls.values()
            await calls.settled(2)
    return watch.found


async def test_a_loop_that_is_left_alone():
    async def waits():
        await asyncio.sleep(0.2)  # here

    loop = await watched(waits)
    assert loop.busy < 0.4
    assert loop.stall is None
    assert "# here" in loop.place.code
    assert loop.threads == 0
    assert not loop.nested


async def test_a_loop_that_is_blocked():
    async def blocks():
        time.sleep(0.15)

    loop = await watched(blocks)
    assert loop.busy > 0.6
    assert loop.computing < 0.5
    assert loop.stall.conflict == "blocking-sleep"
    assert loop.place.code == "time.sleep(0.15)"
    assert loop.lag > 0.03


async def test_a_stall_right_at_the_beginning_is_seen():
    with Probe(threshold=0.02) as probe:
        async with Watch(probe, threading.active_count(), 0.2) as watch:
            time.sleep(0.1)
    assert watch.found.stall.conflict == "blocking-sleep"


async def test_threads_are_counted_beyond_those_there_were():
    async def threads():
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.1) for _ in range(3)))

    assert 3 <= (await watched(threads)).threads <= 6


async def test_tasks_that_a_call_leaves_are_counted_and_ended():
    started = []

    async def leaves():
        started.extend(asyncio.create_task(asyncio.sleep(60)) for _ in range(3))
        await asyncio.sleep(0.05)

    other = asyncio.create_task(asyncio.sleep(60))
    call = Call(leaves)
    async with Census(call) as census:
        ending = await call.settled(1)
    assert ending.unfinished == census.left.tasks == census.peak == 3
    assert all(task.cancelled() for task in started)
    assert not other.done()
    other.cancel()


async def test_tasks_that_are_just_ending_are_not_left():
    async def leaves():
        left.append(asyncio.create_task(asyncio.sleep(0.05)))

    left = []
    call = Call(leaves)
    async with Census(call) as census:
        ending = await call.settled(1)
    assert ending.unfinished == 1
    assert census.left.tasks == 0


async def test_what_scenes_share_is_opened_once_and_closed_at_the_end():
    events = []

    @asynccontextmanager
    async def database(name):
        events.append(f"open {name}")
        yield name
        events.append(f"close {name}")

    line = SimpleNamespace(seed=1, rng=Random(1), antipattern=None, step=print, services={})
    async with opened(line, connections=0) as stage, stage.stack:
        names = [await stage.shared(database, "audits") for _ in range(2)]
        assert await stage.outside(threading.current_thread) is not threading.current_thread()
        assert events == ["open audits"]
    assert names == ["audits", "audits"]
    assert events == ["open audits", "close audits"]
