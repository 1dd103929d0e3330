"""The probe on real loops. Counts and order only; durations are compared within one run."""

import asyncio
import gc
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from loopclinic.probe import Probe
from tests.threads import threads_left, threads_now, threads_since


def spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.mark.alone
async def test_twenty_blocks_are_found_each_with_its_line():
    kinds = [lambda: time.sleep(0.12), lambda: spin(0.12)]
    with Probe(threshold=0.06) as probe:
        for number in range(20):
            await asyncio.sleep(0.01)
            kinds[number % 2]()
            await asyncio.sleep(0)
    # On a starved machine the loop is late for reasons that have no line of ours.
    named = [stall for stall in probe.report().stalls if stall.file == __file__]
    sleeps = [stall for stall in named if stall.function == "<lambda>"]
    spins = [stall for stall in named if stall.function == "spin"]
    assert (len(sleeps), len(spins)) == (10, 10)
    assert {stall.conflict for stall in sleeps} == {"blocking-sleep"}


@pytest.mark.alone
async def test_the_line_is_known_while_the_loop_is_still_stuck():
    seen = []
    with Probe() as probe:
        probe.subscribe(lambda: seen.append(probe.current()), every=0.02)
        await asyncio.sleep(0.05)
        time.sleep(0.6)
        finished = probe.stalls
    live = [stall for stall in seen if stall is not None and stall.file == __file__]
    assert finished == ()
    assert live
    assert live[0].seconds < 0.5
    assert live[0].code == "time.sleep(0.6)"


@pytest.mark.alone(wakes=True)
async def test_a_c_call_that_keeps_the_gil_is_named_afterwards():
    with Probe() as probe:
        await asyncio.sleep(0.05)
        sum(range(40_000_000))
        await asyncio.sleep(0.05)
    worst = max(probe.report().stalls, key=lambda stall: stall.seconds)
    assert worst.file == __file__
    assert worst.code == "sum(range(40_000_000))"
    assert worst.gil_held


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who waits for the GIL")
async def test_a_loop_at_rest_while_another_thread_keeps_the_gil_is_stalled():
    def crunch():
        time.sleep(0.1)  # until the loop rests
        began = time.perf_counter()
        sum(range(30_000_000))
        return time.perf_counter() - began

    with Probe() as probe:
        took = [await asyncio.to_thread(crunch) for _ in range(3)]
    kept = [stall for stall in probe.report().stalls if stall.gil_held]
    assert sum(stall.seconds for stall in kept) > sum(took) / 2
    assert probe.report().lag.max > max(took) / 2
    assert any(stall.where == "another thread" for stall in kept)


@pytest.mark.alone
async def test_thousands_of_gathered_tasks_are_a_burst_and_no_line():
    async def one():
        await asyncio.sleep(0)
        spin(0.0001)

    # Far from both bounds, also where the machine keeps one of the callbacks waiting for a while.
    with Probe(threshold=0.4) as probe:
        await asyncio.sleep(0.02)
        await asyncio.gather(*[one() for _ in range(10_000)])
        await asyncio.sleep(0.02)
    burst = max(probe.report().stalls, key=lambda stall: stall.seconds)
    assert burst.burst
    assert burst.callbacks >= 10_000
    assert burst.file is None
    assert re.match(r"Too much work in one iteration: 10,\d+ callbacks in ", burst.diagnosis)


@pytest.mark.alone
async def test_how_late_a_timer_is_in_a_burst_of_several_iterations():
    late = 0.0

    async def heartbeat():
        nonlocal late
        while True:
            due = time.perf_counter() + 0.01
            await asyncio.sleep(0.01)
            late = max(late, time.perf_counter() - due)

    async def one():
        for _ in range(3):
            await asyncio.sleep(0)
            spin(0.0001)

    with Probe() as probe:
        beating = asyncio.create_task(heartbeat())
        await asyncio.sleep(0.05)
        await asyncio.gather(*[one() for _ in range(2000)])
        await asyncio.sleep(0.05)
        beating.cancel()
    report = probe.report()
    assert report.heartbeat > report.lag.max
    assert late / 1.1 < report.heartbeat < 2 * late


@pytest.mark.alone
async def test_a_long_collection_is_named_with_the_line_that_called_for_it():
    gc.disable()  # what is made here must be there when it is collected
    try:
        web = [[] for _ in range(1_000_000)]
        for part in web:
            part.append(web)
        began = time.perf_counter()
        gc.collect()
        long = time.perf_counter() - began  # 27 ms on one machine, 80 on another
        with Probe(threshold=long / 4) as probe:
            await asyncio.sleep(0.05)
            gc.collect()
            await asyncio.sleep(0.05)
    finally:
        gc.enable()
    worst = max(probe.report().stalls, key=lambda stall: stall.seconds)
    assert worst.garbage > worst.seconds / 2
    assert worst.code == "gc.collect()"
    assert "called for by gc.collect" in worst.diagnosis


async def test_a_stall_carries_its_task_and_who_awaits_whom():
    async def charge():
        time.sleep(0.15)

    async def order():
        await charge()

    with Probe() as probe:
        await asyncio.create_task(order(), name="order 7")
        await asyncio.sleep(0.01)
    (stall,) = [stall for stall in probe.report().stalls if stall.function == "charge"]
    assert stall.callback == "order in test_real_loops.py"
    assert stall.task == "order 7"
    assert [frame.function for frame in stall.chain] == ["order", "charge"]
    assert "held the loop for 1" in stall.diagnosis


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
async def test_a_stall_of_an_eager_task_stands_in_its_own_chain_and_the_others_step():
    async def charge():
        await asyncio.sleep(0)
        time.sleep(0.15)

    async def order():
        time.sleep(0.15)
        await charge()

    async def shop():
        async with asyncio.TaskGroup() as group:
            group.create_task(order(), name="order 7")

    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    with Probe() as probe:
        await asyncio.sleep(0.01)
        await shop()
    first, later = [stall for stall in probe.report().stalls if stall.seconds > 0.14]
    assert (first.function, later.function) == ("order", "charge")
    # Older Pythons name an eager task once its first step is over.
    assert first.task not in (None, asyncio.current_task().get_name())
    assert later.task == "order 7"
    assert (
        first.callback
        == "test_a_stall_of_an_eager_task_stands_in_its_own_chain_and_the_others_step in test_real_loops.py"
    )
    assert later.callback == "order in test_real_loops.py"
    assert [frame.function for frame in first.chain] == ["order"]
    assert [frame.function for frame in later.chain] == ["order", "charge"]


@pytest.mark.alone
async def test_utilization_of_a_loop_that_works_half_the_time():
    with Probe(threshold=1) as probe:
        for _ in range(10):
            spin(0.02)
            await asyncio.sleep(0.02)
    report = probe.report()
    idle = report.seconds * (1 - report.utilization)
    assert 0.1 < idle / 0.2 < 2, "ten waits of 20 ms were asked for"
    assert 0.25 < report.utilization < 0.75


async def test_a_loop_that_never_waits_hears_of_its_sockets_all_the_same():
    async def turn():
        while True:
            await asyncio.sleep(0)

    async def echo():
        while data := await there.readexactly(4):
            answer.write(data)

    pair = socket.socketpair()
    (here, ask), (there, answer) = [await asyncio.open_connection(sock=one) for one in pair]
    with Probe() as probe:
        turning, echoing = asyncio.create_task(turn()), asyncio.create_task(echo())
        for number in range(200):
            ask.write(b"%04d" % number)
            assert await here.readexactly(4) == b"%04d" % number
        turning.cancel()
        echoing.cancel()
    for writer in (ask, answer):
        writer.close()
        await writer.wait_closed()
    assert probe.report().iterations > 400
    assert probe.report().utilization > 0.9


def test_a_loop_in_another_thread():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(timeout=20)  # it runs
        with Probe(loop=loop) as probe:
            loop.call_soon_threadsafe(time.sleep, 0.3)
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), loop).result(timeout=5)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert max(stall.seconds for stall in probe.report().stalls) >= 0.3


def test_a_loop_that_stops_and_runs_again():
    loop = asyncio.new_event_loop()
    try:
        with Probe(loop=loop) as probe:
            loop.run_until_complete(asyncio.sleep(0.01))
            time.sleep(0.4)
            loop.run_until_complete(asyncio.sleep(0.01))
    finally:
        loop.close()
    assert [s for s in probe.report().stalls if s.seconds > 0.3] == []


async def test_no_thread_is_left():
    before = threads_now()
    with Probe(), Probe():
        assert threads_since(before) == ["loopclinic-watchdog"], "probes of one loop share one"
    assert threads_left(before) == []


@pytest.mark.parametrize(
    "ending", ["", "probe.stop()", "raise SystemExit(3)", "import os; os._exit(0)"]
)
def test_a_program_ends_as_it_would_without_the_probe(ending):
    code = (
        "import asyncio, loopclinic\n"
        "async def main():\n"
        "    probe = loopclinic.Probe().start()\n"
        "    await asyncio.sleep(0.05)\n"
        f"    {ending}\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.returncode == (3 if "SystemExit" in ending else 0)


def test_importing_loopclinic_and_its_probe_is_light():
    code = (
        "import sys; before = set(sys.modules); import loopclinic; loopclinic.Probe; "
        "heavy = {'IPython', 'aiohttp', 'matplotlib', 'ipywidgets', 'rich', 'anywidget', 'psutil', 'platformdirs'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
