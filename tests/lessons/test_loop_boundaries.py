"""Lesson 12: its worker, what its findings say, and what its experiments show on real servers."""

import asyncio
import os
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psutil
import pytest

from loopclinic.lessons.core import Ending, Judged, Kept, Place
from loopclinic.lessons.loop_boundaries import check, ladder, story
from loopclinic.lessons.loop_boundaries.celery_worker import THREADS, CeleryWorker, Job
from loopclinic.lessons.story.asyncio_patches import PATCHES, tried
from loopclinic.servers import SERVICES

LINE = Place("lab.py", 7, "return asyncio.run(work)")
FINE = Ending("returned", 0.1, value="1")
LATE = Ending("running", 2.0)
REFUSED = Ending("raised", 0.001, message="RuntimeError: closed", error=("RuntimeError",))
RAISED = Ending("raised", 0.01, message="OSError: away", error=("OSError",))
TIMEOUT = Ending("raised", 0.4, message="TimeoutError", error=("TimeoutError", "OSError"))
ALL = check.Made(380, 1, 1, 1)


def judged(scene, **changed):
    """Return what a scene says of a finding of a right answer, but for what is changed."""
    right = {
        check.Opening: {
            "early_threads": 0,
            "early_connections": 0,
            "away": RAISED,
            "back": FINE,
        },
        check.Many: {
            "first": check.Made(12, 1, 1, 1),
            "later": ALL,
            "opened": 3,
            "peak": 3,
            "failed": 0,
            "bad": None,
            "place": None,
        },
        check.Answers: {"wrong": [], "most": 12},
        check.OnLoop: {
            "endings": [FINE, FINE],
            "refused": [True, True],
            "begun": [False, False],
        },
        check.Deadline: {"ending": TIMEOUT, "cleaned": True, "statements": 0},
        check.Closing: {
            "closings": [("again", FINE)],
            "calls": [FINE, FINE],
            "under_way": 0,
            "late": [("while it closed", REFUSED), ("after it had closed", REFUSED)],
            "left": {"connection": 0, "thread": 0, "open loop": 0},
            "called": True,
            "ended": True,
        },
    }[type(scene)]
    return [*scene.judge(scene.Found(run_at=LINE, close_at=LINE, **right | changed), Judged())]


@pytest.mark.parametrize("scene", check.CHECK.scenes, ids=lambda one: one.name)
def test_a_right_answer_keeps_what_a_scene_tests(scene):
    assert {one.promise for one in judged(scene)} == set(scene.promises)
    assert all(isinstance(one, Kept) for one in judged(scene))


@pytest.mark.parametrize(
    ("scene", "changed", "promise", "conflict", "said"),
    [
        (
            check.Opening(),
            {"early_threads": 1},
            3,
            None,
            "started 1 thread, which a fork has not.",
        ),
        (check.Opening(), {"early_connections": 2}, 3, None, "opened 2 connections"),
        (check.Opening(), {"away": FINE}, 3, None, "was away; a call returned 1"),
        (check.Opening(), {"back": RAISED}, 3, None, "is back; a call raised OSError"),
        (
            check.Many(),
            {"later": check.Made(60, 60, 60, 6), "opened": 72},
            2,
            "loop-per-call",
            "60 calls made 60 event loops, one for each call",
        ),
        (
            check.Many(),
            {"later": check.Made(60, 6, 6, 6), "opened": 14},
            2,
            "too-many-connections",
            "one for each of 6 threads. PostgreSQL counted 14",
        ),
        (check.Many(), {"first": check.Made(12, 3, 3, 3)}, 2, "lazy-init-race", "3 loops"),
        (check.Many(), {"opened": 4}, 2, "too-many-connections", "counted 4 connections"),
        (check.Many(), {"bad": LATE, "failed": 1}, 1, None, "1 task that called `run`"),
        (check.Answers(), {"wrong": [("returned 1", RAISED)]}, 1, None, "and `run` raised OSError"),
        (check.Answers(), {"most": 3}, 4, "sequential-awaits", "3 calls ran at once"),
        (check.OnLoop(), {"refused": [False, True]}, 5, "nested-loop", "thread of another loop"),
        (check.OnLoop(), {"refused": [True, False]}, 5, "nested-loop", "in `work` itself"),
        (check.OnLoop(), {"begun": [True, False]}, 5, "dropped-task", "begun all the same"),
        (check.Deadline(), {"ending": LATE}, 6, "missing-deadline", "was not done after 2.0 s"),
        (check.Deadline(), {"ending": FINE}, 6, None, "instead of raising TimeoutError"),
        (check.Deadline(), {"cleaned": False}, 6, "dropped-task", "its clean-up was not over"),
        (check.Deadline(), {"statements": 1}, 6, "dropped-task", "its statement was under way"),
        (check.Closing(), {"closings": [("again", RAISED)]}, 7, None, "`close()`, called again"),
        (check.Closing(), {"under_way": 2}, 7, "abrupt-shutdown", "returned before 2 of them"),
        (check.Closing(), {"calls": [FINE, RAISED]}, 7, "abrupt-shutdown", "one raised OSError"),
        (check.Closing(), {"late": [("after it", FINE)]}, 7, None, "came after it returned 1"),
        (
            check.Closing(),
            {"left": {"connection": 3}},
            7,
            "unclosed-resource",
            "3 connections stayed",
        ),
        (check.Closing(), {"ended": False}, 7, "unclosed-resource", "a thread keeps it alive"),
    ],
)
def test_each_figure_decides(scene, changed, promise, conflict, said):
    (reason,) = (one for one in judged(scene, **changed) if not isinstance(one, Kept))
    assert (reason.promise, reason.conflict) == (promise, conflict)
    assert said in reason.sentence
    assert (reason.file, reason.line) == ("lab.py", 7)


def test_a_process_that_never_made_its_call_proves_nothing():
    assert judged(check.Closing(), called=False, ended=False) == []


def test_a_pool_of_another_loop_is_told_as_that():
    error = "RuntimeError: Task got Future attached to a different loop"
    bad = Ending("raised", 0.1, LINE, message=error, error=("RuntimeError",))
    (reason,) = judged(check.Many(), first=check.Made(12, 12, 1, 12), bad=bad, failed=11)
    assert (reason.promise, reason.conflict) == (2, "loop-bound-primitive")


def test_the_line_that_runs_a_loop_is_the_caller_of_its_run():
    def run(frame):
        async def work():
            return check._loop_line(frame())

        return asyncio.run(work())

    assert run(sys._getframe).file == __file__
    assert check._loop_line(sys._getframe()) is None


def test_a_job_says_where_its_thread_stands():
    go = threading.Event()
    job = Job(go.wait)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(job.work)
        while job.frame is None:
            pass
        assert job.frame.f_code.co_name == "wait"
        go.set()
    assert job.future.result() is True
    assert job.frame is None


async def test_who_refuses_on_a_running_loop_and_who_stops_it():
    waiting = str(await story.on_a_loop(story.threadsafe_result, story.in_a_thread))
    refusing = str(await story.on_a_loop(asyncio.run, story.of_asgiref, story.adapter))
    assert waiting.count("stood still") == 2
    assert refusing.count("went on") == refusing.count("RuntimeError") == 3


def test_an_async_task_does_nothing_and_retries_charge_again():
    said = str(story.charges())
    assert "SUCCESS" in said
    assert "a coroutine" in said
    assert "0 charges" in said
    assert "4 charges" in said
    assert said.count("FAILURE") == 2
    assert said.endswith("1 charge")


@pytest.mark.prove
async def test_patches_nest_and_what_breaks_depends_on_the_python():
    plain = await tried("", *story._PLAIN)
    first, second = [await tried(one, *story._TRIED) for one in PATCHES]
    assert "cannot be called from a running event loop" in plain["nested_run"]
    assert first["nested_run"] == second["nested_run"] == "allowed"
    assert first["order"] == second["order"] == "after the longer one"
    assert min(int(first["frames"]), int(second["frames"])) >= 30
    loses = sys.version_info >= (3, 14)
    assert (first["current"] == "None") == ("RuntimeError" in first["deadline"]) == loses
    assert (second["current"], second["deadline"]) == ("the task", "ends in time")
    table = (await story.patches()).html
    newer = loses or any(map(shutil.which, story._PYTHONS))
    assert (story._NOT_HERE in table) == (not newer)


@pytest.mark.prove
def test_each_way_opens_what_the_notebook_says_and_nothing_is_left():
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    ways = (ladder.run_each, ladder.pool_for_all, ladder.look_up)
    each, kept, none = asyncio.run(story.worked(*ways, tasks=40)).runs
    assert (each["done"], each["loops"], each["error"]) == (40, 40, "")
    assert each["opened"] >= 40
    assert kept["done"] < 40
    assert "loop" in kept["error"]
    assert none["done"] == 0
    assert "no current event loop" in none["error"]
    threads, one = asyncio.run(
        story.worked(ladder.runner_each_thread, ladder.one_loop, tasks=100)
    ).runs
    assert threads["done"] == one["done"] == 100
    assert 1 < threads["loops"] <= THREADS
    assert threads["opened"] <= THREADS
    assert one["loops"] == 1
    assert one["opened"] <= ladder.SIZE
    left = {one.pid for one in psutil.Process().children(recursive=True)} - before
    assert left == set()


@pytest.mark.prove
def test_a_worker_that_forks_has_no_thread_that_was_started_before():
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    names = "run_each", "runner_each_thread", "before_the_fork"
    each, kept, early = asyncio.run(story.preforked(*names, tasks=12, processes=2)).runs
    assert (each["done"], each["loops"]) == (12, 12)
    assert each["opened"] >= 12
    assert kept["done"] == 12
    assert kept["loops"] <= 2
    assert kept["opened"] <= 2 * ladder.SIZE
    assert early["done"] == 0
    assert early["error"]
    assert {one.pid for one in psutil.Process().children(recursive=True)} - before == set()


@pytest.mark.prove
def test_a_worker_leaves_no_thread_and_another_one_runs_its_own_tasks():
    with SERVICES["valkey"]() as url:
        before = set(threading.enumerate())
        for number in range(2):
            with CeleryWorker(url) as worker:
                jobs = [worker.send(partial(int, number)) for _ in range(THREADS)]
                assert [one.future.result(30) for one in jobs] == [number] * THREADS
                assert os.getpid() == worker.send(os.getpid).future.result(30)
            assert set(threading.enumerate()) <= before
