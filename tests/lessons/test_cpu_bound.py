"""Lesson 08: its notes tell where and when, its counts tell answers apart, its story says what it measured."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from math import inf
from multiprocessing import get_context
from types import SimpleNamespace

import psutil
import pytest

from loopclinic.lessons.core import Ending, Judged, Loop, Place, Stall
from loopclinic.lessons.core.verdicts import broke
from loopclinic.lessons.cpu_bound import check, ladder, noted_passwords, story
from loopclinic.lessons.cpu_bound.noted_passwords import (
    Computation,
    NotedPasswords,
    WeakPasswordError,
    here,
    loops_for,
)
from loopclinic.probe.schedule import Times


def ran(began, over, password="s"):
    return Computation("matches", password, 1, 1, 0, True, began, over)


def cancelled(**changed):
    """Return what calls that are cancelled show of a right answer, but for what is changed."""
    right = {"worst": Ending("cancelled", 0.0), "computed": 0, "went_on": True, "crowd": 3}
    right |= {"places": 3, "again": Ending("returned", 0.1), "line": None}
    return check.Cancelled.Found(**right | changed)


# What the check counts and says.


@pytest.mark.parametrize(
    ("what", "wanted", "ending", "step"),
    [
        ("A registration", "None", {"message": "AttributeError: Can't pickle local"}, "Send a"),
        ("Of two registrations at once, 2 returned: one", "", {}, "Take the name before"),
        (
            *("A registration after one that failed", "None"),
            *(
                {"message": "NameTakenError: eve", "error": ("NameTakenError",)},
                "Give the name back",
            ),
        ),
        ("A registration with a weak password", "WeakPasswordError", {}, "Give the password on"),
        ("A registration", "None", {"how": "broken-off"}, "Do without max_tasks_per_child"),
    ],
)
def test_a_wrong_answer_is_told_with_its_own_next_step(what, wanted, ending, step):
    given = {"how": "raised" if ending else "returned", "seconds": 0.1, "value": "None", **ending}
    steps = (check.Step(what, wanted, Ending(**given)),)
    found = check.Quiet.Found(steps, 1, 1, started=3, processes=0, lines=(None, None))
    reason, *_ = check.Quiet().judge(found, Judged())
    assert reason.promise == 1
    assert reason.next_step.startswith(step)


def test_a_close_that_holds_the_loop_breaks_the_third_promise_and_tells_no_more():
    stall = Stall(Place("lab.py", 7, "pool.shutdown()"), 0.9, "blocking-sync-primitive")
    loop = Loop(0.9, 0.4, 1.0, 0.0, 0.4, 0.9, 0, stall, None, False)
    fine = Ending("returned", 0.9)
    found = check.Closing.Found(fine, None, 11, loop, fine, None)
    (reason,) = check.Closing().judge(found, Judged())
    assert (reason.promise, reason.conflict) == (3, "blocking-sync-primitive")


def test_a_computation_that_was_killed_is_not_counted_as_one_beside():
    found = cancelled(went_on=False, crowd=4)
    (reason,) = check.Cancelled().judge(found, Judged())
    assert reason.promise == 6
    assert "never came to its end" in reason.sentence


def test_a_name_that_stays_taken_is_told_and_a_crowd_only_where_all_is_computed_elsewhere():
    taken = Ending("raised", 0.1, message="NameTakenError: gone", error=("NameTakenError",))
    (reason,) = check.Cancelled().judge(cancelled(again=taken), Judged())
    assert (reason.promise, "its name stayed taken" in reason.sentence) == (6, True)
    crowd, in_threads = (
        cancelled(crowd=4),
        Judged(reasons=[broke(3, "It computes here.", "Do not.")]),
    )
    assert [one.promise for one in check.Cancelled().judge(crowd, Judged())] == [6]
    assert [*check.Cancelled().judge(crowd, in_threads)] == []


def test_one_that_begins_when_another_is_over_is_not_beside_it():
    assert check.most_at_once([ran(0, 1), ran(1, 2), ran(0.5, 1.5)]) == 2
    assert check.most_at_once([ran(0, None), ran(5, None)]) == 2
    assert check.most_at_once([]) == 0


def test_a_call_is_overtaken_by_those_that_came_later_and_began_first():
    found = [ran(n, n + 1, name) for n, name in enumerate("bcda")]
    assert check.overtaken(found, "abcd") == 3
    assert check.overtaken(found, "bcda") == 0
    assert check.overtaken(found[:3], "abcd") == 3  # one that never began


def test_notes_say_where_each_computation_ran(tmp_path):
    passwords = NotedPasswords(str(tmp_path / "notes"))
    with (
        ThreadPoolExecutor(1) as threads,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes,
    ):
        own = passwords.hashed("q-own")
        assert threads.submit(passwords.matches, "q-own", own).result()
        assert processes.submit(passwords.strength, "q-other").result() == 7
    first, second, third = passwords.computations()
    assert (first.process, first.thread, first.interpreter) == here()
    assert (second.process, second.kind) == (os.getpid(), "matches")
    assert second.thread != first.thread
    assert third.process != os.getpid()
    assert first.began <= first.over <= second.began <= second.over <= third.began <= third.over


def test_what_is_refused_is_noted_as_over(tmp_path):
    passwords = NotedPasswords(str(tmp_path / "notes"))
    with pytest.raises(WeakPasswordError):
        passwords.strength("w")
    with pytest.raises(ValueError, match="72 bytes"):
        passwords.hashed("q" * 73)
    assert all(one.over for one in passwords.computations())


def test_one_under_way_has_no_end(tmp_path):
    passwords, seen = NotedPasswords(str(tmp_path / "notes")), []
    with passwords._noted("matches", "q"):
        seen += passwords.computations()
    assert [one.over for one in seen] == [None]
    assert check.most_at_once([*seen, ran(inf, inf)]) == 1


@pytest.mark.parametrize("slow", [0, 1, 2])
def test_loops_are_sized_by_this_processor_though_others_slow_it_down(monkeypatch, slow):
    ran, calls = 0.0, 0

    def count(loops):
        nonlocal ran, calls
        ran += loops * (5e-7 if calls % 3 == slow else 1e-7)
        calls += 1

    monkeypatch.setattr(noted_passwords, "count_to", count)
    monkeypatch.setattr(noted_passwords.time, "thread_time", lambda: ran)
    assert loops_for(0.04) == pytest.approx(400_000, rel=0.01)


# The ladder and the story.


def test_the_nearest_common_password_is_found():
    assert ladder.strength("dragon7") == 0
    assert ladder.strength("dragon7x") == 1
    assert ladder.strength("correct horse") > 5
    assert not ladder.matches_letters(3)


async def test_every_rung_computes_the_same_and_leaves_no_process():
    children = psutil.Process().children
    before, threads = {one.pid for one in children()}, threading.active_count()
    async with ladder.Pools() as pools:
        for way in (ladder.on_loop, ladder.to_threads, ladder.sliced, ladder.by_gil, *ladder.HERE):
            assert await way(pools, ladder.strength, "dragon7x") == 1, way.__name__
            hashed = await way(pools, ladder.hashed, "secret")
            assert hashed.startswith(b"$2b$"), way.__name__
    left = [one for one in children() if one.pid not in before]
    assert not [one for one in left if "resource_tracker" not in " ".join(one.cmdline())]
    default = min(32, (os.cpu_count() or 1) + 4)  # threads of asyncio's own executor
    assert threading.active_count() <= threads + default


async def test_what_can_be_sent_to_a_process_is_found_by_its_name():
    async with ladder.Pools() as pools:
        with pytest.raises(Exception, match=r"pickle|local object"):
            await ladder.processes(pools, lambda: 1)


@pytest.mark.alone(wakes=True)
async def test_threads_cure_one_of_the_two():
    logins = [await story.storm(way, logins=10, sign_ups=0) for way in WAYS]
    sign_ups = [await story.storm(way, logins=0, sign_ups=10) for way in WAYS]
    assert logins[1].late < 0.1 * logins[0].late
    assert sign_ups[2].late < 0.1 * sign_ups[0].late
    assert sign_ups[1].late > 4 * sign_ups[2].late


WAYS = (ladder.on_loop, ladder.to_threads, ladder.processes)


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts waits for a processor")
def test_the_gil_share_tells_who_keeps_it_though_other_programs_have_the_cores():
    spinning = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(spinning) for _ in range(2 * ladder.CORES)]
    try:
        releases = story.gil_share(ladder.hashed, "secret")
        python = story.gil_share(ladder.strength, story.PASSWORD)
        backtracks = story.gil_share(ladder.matches_letters, 22)
    finally:
        for one in others:
            one.kill()
            one.wait()
    assert releases < 0.25 < python < 0.8 < backtracks


async def test_no_share_of_the_gil_is_shown_where_waits_for_a_processor_look_like_it(monkeypatch):
    class Untold:
        follow = close = lambda *_: None

        def read(self):  # as if nothing had run since the last look
            return Times(0.0, waited=-time.perf_counter())

    monkeypatch.setattr(story, "Schedule", Untold)
    monkeypatch.setattr(story, "sys", SimpleNamespace(platform="darwin"))
    assert story.gil_share(int) is None
    assert "int: of the GIL -; so other programs" in str(await story.gil_shares((int, 1)))


@pytest.mark.parametrize(("others", "told"), [(0.05, False), (0.4, True)])
def test_the_race_says_what_other_programs_had_of_the_processors(others, told):
    figures = {"rate": 40.0, "late": 0.01, "bound": 50.0, "others": others}
    runner = SimpleNamespace(name="way", rounds=[figures], typical=figures.get)
    said = story._sentence(SimpleNamespace(runners=[runner, runner]))
    assert said.startswith("way reaches 80% of the bound")
    assert ("Other programs had 40% of the processors" in said) is told


@pytest.mark.prove
def test_the_right_rung_nears_the_bound_and_the_loop_is_free():
    found = story.race(ladder.on_loop, ladder.by_gil, rounds=3, progress=False)
    bound, words = story._bound(found)
    assert "cores / seconds" in words
    assert found["by_gil"].typical("late") < 0.1 * found["on_loop"].typical("late")
    # It is 0.83 to 0.9 where nothing else runs: `benchmarks/cpu_bound.py` shows how near.
    assert found["by_gil"].typical("rate") > 0.5 * bound
    assert asyncio.run(story.storm(ladder.to_threads)).other > 0.05
