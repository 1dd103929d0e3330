"""The search over schedules: races found, the smallest shown, replayed by its seed, the process left alone."""

import asyncio
import datetime as dt
import itertools
import subprocess
import sys
import threading
import time

import pytest

import loopclinic
from loopclinic import search_schedules
from loopclinic.lessons.schedules.search import LATENCIES, in_virtual_time


class Counters:
    """A store in memory, of plain methods: `slow` makes them async."""

    def __init__(self):
        self.values = {}

    def get(self, key):
        return self.values.get(key, 0)

    def set(self, key, value):
        self.values[key] = value

    def incr(self, key):
        self.values[key] = self.get(key) + 1
        return self.values[key]


async def racy(store, lock):
    if (used := await store.get("k")) >= 1:
        return False
    await store.set("k", used + 1)
    return True


async def check_outside(store, lock):
    if await store.get("k") >= 1:
        return False
    async with lock:
        await store.set("k", await store.get("k") + 1)
        return True


async def locked(store, lock):
    async with lock:
        return await racy(store, lock)


async def atomic(store, lock):
    return await store.incr("k") <= 1


def limiting(allow):
    async def play(schedule):
        store, lock = schedule.slow(Counters()), asyncio.Lock()
        callers = schedule.rng.choice([2, 3, 30])
        allowed = await schedule.together(*(allow(store, lock) for _ in range(callers)))
        assert sum(allowed) == 1, f"{sum(allowed)} were allowed"

    return play


@pytest.mark.parametrize(("allow", "steps"), [(racy, 4), (check_outside, 6)])
def test_the_smallest_schedule_that_breaks_is_shown_and_replayed_by_its_seed(allow, steps):
    found = search_schedules(limiting(allow), 200)
    smallest = found.smallest
    assert 20 < len(found.broken) < 200 == found.seeds
    assert smallest.lanes in {("1. caller", "2. caller"), ("2. caller", "1. caller")}
    assert len(smallest.steps) == steps
    assert smallest.error.startswith("AssertionError: 2 were allowed")
    assert all("store." in step.place.code for step in smallest.steps)
    again = search_schedules(limiting(allow), [smallest.seed])
    assert again.broken == (smallest,)
    assert f"seed {smallest.seed}: {steps} steps" in str(found)
    assert "set(&#x27;k&#x27;, 1)" in found._repr_html_()


@pytest.mark.parametrize("allow", [locked, atomic])
def test_a_lock_and_an_atomic_command_survive_every_schedule(allow):
    found = search_schedules(limiting(allow), 200)
    assert found.broken == ()
    assert str(found) == "None of 200 schedules breaks it."
    assert "Seed 3 does not break it." in str(search_schedules(limiting(allow), [3]))


def test_what_never_ends_is_broken_and_names_the_line_of_each_task():
    async def play(schedule):
        locks = asyncio.Lock(), asyncio.Lock()

        async def both(first, second):
            async with first:
                await schedule.hop()
                async with second:
                    pass

        await schedule.together(both(*locks), both(*reversed(locks)))

    found = search_schedules(play, 50)
    assert 0 < len(found.broken) < 50
    error = found.smallest.error
    assert error.startswith("It was not done after 3600 s")
    assert error.count("caller waits at `async with second:`") == 2
    assert found.smallest.place.code == "async with second:"


def test_a_lane_has_the_name_of_its_task_or_a_number_of_its_own():
    async def play(schedule):
        store = schedule.slow(Counters(), "store.")
        await asyncio.gather(store.incr("a"), asyncio.create_task(store.incr("b"), name="writer"))
        schedule.note("done")
        raise KeyError("x")

    one, other = (search_schedules(play, [1]).smallest for _ in range(2))
    assert one == other
    assert {*one.lanes} == {"1. task", "writer", "main"}
    assert {step.what for step in one.steps} == {
        "store.incr('a') = 1",
        "store.incr('b') = 1",
        "done",
    }
    assert one.error == "KeyError: 'x'"


def test_an_error_of_a_collaborator_is_a_step_and_comes_out():
    async def fails(number):
        await asyncio.sleep(1)
        raise ConnectionError(number)

    async def play(schedule):
        await schedule.slow(fails)(7)

    (one,) = search_schedules(play, [0]).broken
    assert [(step.what, step.at >= 1) for step in one.steps] == [
        ("fails(7): ConnectionError", True)
    ]


def test_clocks_follow_the_schedule_and_nobody_else():
    seen, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            seen.append((time.time(), time.monotonic(), dt.datetime.now().timestamp()))  # noqa: DTZ005
            time.sleep(0.001)

    async def play(schedule):
        before = time.time(), time.monotonic(), dt.datetime.now()  # noqa: DTZ005
        await asyncio.sleep(86_400)
        assert time.time() - before[0] == time.monotonic() - before[1] == 86_400
        assert dt.datetime.now() - before[2] == dt.timedelta(days=1)  # noqa: DTZ005
        began = time.monotonic()
        await asyncio.to_thread(time.sleep, 3600)
        assert 3600 <= time.monotonic() - began < 3601

    began = time.monotonic()
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        found = search_schedules(play, 5, patience=10 * 86_400)
    finally:
        stop.set()
        thread.join()
    assert [one.error for one in found.broken] == []
    assert time.monotonic() - began < 60
    for earlier, later in itertools.pairwise(seen):
        assert all(0 <= b - a < 60 for a, b in zip(earlier, later, strict=True))


def test_it_runs_inside_a_running_loop_and_cancels_what_a_schedule_leaves():
    left = []

    async def play(schedule):
        left.append(asyncio.create_task(asyncio.sleep(10_000)))
        await schedule.hop()

    async def main():
        return search_schedules(play, 20)

    assert asyncio.run(main()).broken == ()
    assert all(task.cancelled() for task in left)


@pytest.mark.parametrize("seeds", [0, []])
def test_a_search_without_a_seed_says_what_to_pass(seeds):
    with pytest.raises(ValueError, match="pass how many schedules"):
        search_schedules(limiting(racy), seeds)


def test_one_play_returns_its_result_or_says_what_it_raised():
    async def sleeps(schedule):
        await asyncio.sleep(86_400 * 300)
        return schedule.seed

    async def fails(schedule):
        raise ValueError("no way")

    assert in_virtual_time(sleeps, 7) == 7
    with pytest.raises(RuntimeError, match="ValueError: no way"):
        in_virtual_time(fails)


def test_it_is_public_and_draws_from_ties():
    assert "search_schedules" in loopclinic.__all__
    assert len(set(LATENCIES)) < len(LATENCIES)


def test_an_interrupt_ends_the_schedule_that_is_played_and_another_search_finds_its_clocks():
    program = """
import asyncio, os, signal, threading
from loopclinic import search_schedules

async def play(schedule):
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    while True:
        await asyncio.sleep(1)

try:
    search_schedules(play, [0], patience=1e9)
except KeyboardInterrupt:
    print("interrupted")
print(search_schedules(lambda schedule: asyncio.sleep(5), [0]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.splitlines() == ["interrupted", "Seed 0 does not break it."], done.stderr
