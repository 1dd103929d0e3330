"""Lesson 04: its posts, its judgement on made-up trials, its pictures, and its scenes in small."""

import asyncio
import gc
from dataclasses import replace
from pathlib import Path

import pytest

from loopclinic.lessons import Trial, lesson
from loopclinic.lessons.unbounded_gather import ladder
from loopclinic.lessons.unbounded_gather.charts import answers
from loopclinic.lessons.unbounded_gather.judgement import judge, praise
from loopclinic.lessons.unbounded_gather.posts import DuePost, Source, due, text_of
from loopclinic.lessons.unbounded_gather.sweep import Point, Sweep
from loopclinic.lessons.unbounded_gather.workforce import workforce

LESSON = lesson("04")


# Posts.


async def test_source_counts_posts_that_somebody_holds():
    source = Source(DuePost(n, text_of(n)) for n in range(50))
    kept = []
    async for post in source.read():
        if post.id % 5 == 0:
            kept.append(post)
        del post
    gc.collect()
    assert source.taken == 50
    assert source.alive == len(kept) == 10
    kept.clear()
    assert source.alive == 0
    assert source.peak <= 11


async def test_source_ends_when_too_many_are_held():
    source = Source((DuePost(n, text_of(n)) for n in range(100_000)), most=30)
    held = [post async for post in source.read()]
    assert source.stopped
    assert len(held) == source.peak == 31


async def test_due_posts_have_bodies_of_their_own():
    posts = [post async for post in due(300)]
    assert [post.id for post in posts] == list(range(300))
    assert len({post.body for post in posts}) == 300


# The judgement, on a trial that keeps every promise, and on ones that break one.

RIGHT = {
    "limit": 20,
    "steady": {
        "ending": {
            "how": "returned",
            "seconds": 1.4,
            "sound": True,
            "unfinished": 0,
            "published": 390,
            "failed": {str(n): "422" for n in range(10)},
        },
        "left": {"tasks": 0, "place": None},
        "missing": [],
        "repeated": [],
        "posts": 400,
        "banned": list(range(10)),
        "accepted": 390,
        "peak": 20,
        "mean": 18.0,
        "tasks": 21,
        "rate": 280.0,
    },
    "broken": {
        "ending": {
            "how": "returned",
            "seconds": 0.1,
            "sound": True,
            "unfinished": 0,
            "published": 0,
            "failed": {"1": "reset", "2": "reset"},
        },
        "left": {"tasks": 0, "place": None},
        "missing": [],
        "repeated": [],
        "wanted": [1, 2],
    },
    "refusing": {
        "ending": {
            "how": "returned",
            "seconds": 2.2,
            "sound": True,
            "unfinished": 0,
            "published": 40,
            "failed": {},
        },
        "left": {"tasks": 0, "place": None},
        "missing": [],
        "repeated": [],
        "posts": 40,
        "accepted": 40,
        "retry_after": 2,
        "refused": 20,
        "requests_while_closed": 20,
        "closed_for": 0.4,
        "again": 20,
        "shortest": 2.003,
    },
    "lost_source": {
        "ending": {"how": "raised", "seconds": 0.1, "message": "SourceLost", "errors": []},
        "left": {"tasks": 0, "place": None},
        "raised": True,
        "requests_after": 0,
    },
    "crowd": {
        "ending": {"how": "cancelled", "seconds": 0.01},
        "left": {"tasks": 0, "place": None},
        "due": 100_000,
        "early": False,
        "stopped": False,
        "held": 41,
        "tasks": 40,
        "taken": 700,
        "requests": 660,
        "requests_after": 0,
        "in_flight_after": 0,
    },
}


def trial(**changes):
    """The right trial, with values replaced by `step__name` or `step__ending__name`."""
    facts = {key: dict(value) if isinstance(value, dict) else value for key, value in RIGHT.items()}
    for path, value in changes.items():
        *steps, name = path.split("__")
        where = facts
        for step in steps:
            where[step] = dict(where[step])
            where = where[step]
        where[name] = value
    return Trial("04_unbounded_gather", 1, facts, Path("lab.py"))


def test_a_trial_that_keeps_every_promise_passes():
    assert judge(trial()) == []
    assert "90% of a limit of 20" in praise(trial())


@pytest.mark.parametrize(
    ("changes", "conflict", "words"),
    [
        ({"crowd__tasks": 201}, "unbounded-gather", "201 tasks"),
        ({"crowd__held": 201}, "unbounded-gather", "201 posts were in memory"),
        ({"steady__peak": 21}, "unbounded-gather", "21 requests in flight"),
        ({"steady__mean": 8.9}, "sequential-awaits", "8.9 of 20 places"),
        ({"steady__ending__failed": {}}, "dropped-gather-results", "10 of these are not"),
        ({"broken__ending__failed": {"1": ""}}, "dropped-gather-results", "1 of these"),
        ({"steady__missing": [5]}, None, "1 post never arrived"),
        ({"steady__ending__published": 391}, None, "`published` is 391"),
        ({"steady__repeated": [7]}, "retry-storm", "1 post came again"),
        ({"refusing__shortest": 1.89}, "retry-storm", "after 1.9 s"),
        ({"refusing__accepted": 20}, "dropped-gather-results", "20 posts of 40"),
        ({"refusing__ending__failed": {"3": "429"}, "refusing__accepted": 39}, None, "as failed"),
        ({"steady__ending__unfinished": 20}, "dropped-task", "20 tasks were sending"),
        (
            {"crowd__ending": {"how": "returned", "value": "Summary()", "seconds": 0.0}},
            "swallowed-cancellation",
            "returning Summary()",
        ),
        ({"crowd__ending__seconds": 0.51}, "swallowed-cancellation", "took 510 ms"),
        ({"crowd__requests_after": 3}, "dropped-task", "3 more requests"),
        ({"lost_source__ending__how": "unfinished"}, None, "still waiting"),
        ({"lost_source__raised": False}, None, "as if all were done"),
        ({"lost_source__left": {"tasks": 4, "place": None}}, "dropped-task", "4 tasks"),
    ],
)
def test_a_broken_promise_is_named(changes, conflict, words):
    (reason,) = judge(trial(**changes))
    assert reason.conflict == conflict
    assert words in reason.sentence
    assert reason.next_step


@pytest.mark.parametrize(
    "changes",
    [
        {"crowd__tasks": 200, "crowd__held": 200},
        {"steady__mean": 9.1},
        {"refusing__shortest": 1.91},
        {"crowd__ending__seconds": 0.49},
        {"crowd__ending__seconds": 0.9, "crowd__stopped": True},
    ],
)
def test_a_budget_just_kept_is_kept(changes):
    assert judge(trial(**changes)) == []


def test_one_failure_that_ends_all_says_how_many_were_lost():
    changes = {
        "steady__ending": {"how": "raised", "message": "ClientResponseError: 422", "seconds": 0.2},
        "steady__missing": list(range(100, 450)),
        "steady__mean": 3.0,
    }
    (reason,) = judge(trial(**changes))
    assert reason.conflict is None
    assert "350 posts of the others never went out" in reason.sentence


def test_budgets_say_why_they_stand_where_they_stand():
    for name, budget in LESSON.budgets.items():
        assert len(budget.reason) > 30, name


# Pictures and the law.


def point(limit, throughput, p50, errors=0.0):
    return Point(limit, throughput, p50, p50 * 1.1, errors, int(errors * 100), 0)


SWEEP = Sweep(
    (
        point(1, 10, 0.1),
        point(10, 99, 0.1),
        point(20, 196, 0.1),
        point(40, 199, 0.2),
        point(100, 150, 0.3, 0.8),
    )
)


def test_the_knee_is_the_smallest_limit_that_gives_nearly_all():
    assert SWEEP.knee.limit == 20
    assert SWEEP.little == pytest.approx(19.9)
    assert "The knee is at 20: 196 posts/s are 98% of the bound" in str(SWEEP)


def test_the_knee_is_never_where_requests_are_refused():
    refused = replace(SWEEP, points=(*SWEEP.points[:4], point(60, 400, 0.1, 0.1)))
    assert refused.knee.limit == 20


def test_a_disturbed_round_does_not_count():
    from loopclinic.lessons.unbounded_gather.sweep import _point

    none = {"429": 0, "reset": 0}
    good = {"latencies": [0.1] * 40, "seconds": 0.4, "errors": none}
    bad = {"latencies": [0.3] * 9, "seconds": 0.4, "errors": none}
    assert _point(10, [bad, good]).throughput == pytest.approx(100)
    assert _point(10, [good, bad]).p99 == 0.1


def test_the_slider_shows_the_limits_that_were_visited():
    from loopclinic.lessons.unbounded_gather.knee import KneeFinder

    finder = KneeFinder(SWEEP)
    assert finder.picture.value.count("<circle") == 2
    finder.slider.value = 20
    assert finder.picture.value.count("<circle") == 4
    assert "limit 20: 196 posts/s" in finder.picture.value
    assert "Little" not in finder.picture.value
    finder.law.value = True
    assert finder.picture.value.count("<circle") == 10
    assert "Little&#x27;s law" in finder.picture.value
    data, _ = finder._repr_mimebundle_()
    assert "The knee is at 20" in data["text/plain"]


def test_answers_share_a_scale():
    calm, storm = {200: {1: 5}}, {200: {1: 5}, 429: {0: 50}, 0: {2: 20}}
    drawn = answers(("calm", calm), ("storm", storm))
    assert drawn.html.count("<svg") == 2
    assert str(drawn) == "calm\nstorm"
    alone = answers(("calm", calm))
    assert drawn.html.split("</svg>")[0] != alone.html.split("</svg>")[0]


# The ladder, in small.


async def test_workforce_holds_few_items_and_does_them_all():
    at_once = most = 0
    done = []

    async def work(item):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        done.append(item.id)
        at_once -= 1

    source = Source(DuePost(n, text_of(n)) for n in range(500))
    await workforce(work, source.read(), 7)
    assert sorted(done) == list(range(500))
    assert most == 7
    assert source.peak <= 2 * 7 + 2


async def test_workforce_ends_with_its_source():
    async def broken():
        yield 1
        raise LookupError("gone")

    async def work(_):
        await asyncio.sleep(60)

    with pytest.raises(ExceptionGroup) as caught:
        await workforce(work, broken(), 3)
    assert caught.group_contains(LookupError)
    assert len(asyncio.all_tasks()) == 1


def test_each_rung_says_what_it_costs():
    rungs = ("publish_all", "own_semaphore", "one_semaphore", "workers", "polite")
    assert set(ladder.COSTS) == set(rungs)
    assert all(callable(getattr(ladder, rung)) for rung in rungs)


@pytest.mark.slow
async def test_everything_at_once_is_refused_and_the_last_rung_is_not():
    from loopclinic.lessons.unbounded_gather.service import CAPACITY, QUEUE, publish_here

    before = await publish_here(ladder.publish_all, 300)
    after = await publish_here(ladder.polite, 100)
    assert before.ended == "returned None"
    assert before.refused + before.reset >= 75
    assert before.tasks >= 300
    assert before.peak > CAPACITY + QUEUE
    assert (after.accepted, after.refused, after.reset) == (100, 0, 0)
    assert after.peak <= CAPACITY
    assert after.tasks <= 3 * CAPACITY
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.slow
async def test_a_storm_is_what_retry_after_spares_the_service():
    from loopclinic.lessons.unbounded_gather.storm import retry_storm

    storm = await retry_storm(ladder.impatient, ladder.patient, posts=60, seconds=0.6)
    loud, quiet = storm.runs
    assert loud.accepted == quiet.accepted == 60
    assert quiet.refused == 20
    assert loud.refused > 3 * quiet.refused
    assert "refused 20 requests" in str(storm)


@pytest.mark.slow
async def test_one_failure_in_three_ways():
    from loopclinic.lessons.unbounded_gather.failure import one_failure

    async def gathered(jobs):
        return await asyncio.gather(*jobs)

    async def quiet(jobs):
        return await asyncio.gather(*jobs, return_exceptions=True)

    async def grouped(jobs):
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job)

    _, raised, listed, cancelled = str(
        await one_failure(gathered, quiet, grouped, posts=200)
    ).split("\n")
    assert "got ClientResponseError" in raised
    assert "0 never sent" in raised
    assert "item 20 of it is the error, with 199 published, 0 more" in listed
    assert "ExceptionGroup of ClientResponseError" in cancelled
    assert "0 never sent" not in cancelled


@pytest.mark.slow
def test_few_posts_in_a_race_and_a_crowd():
    from loopclinic.lessons.unbounded_gather.crowd import crowd
    from loopclinic.lessons.unbounded_gather.race import race

    result = race(ladder.publish_all, ladder.polite, posts=120, rounds=1, progress=False)
    lost, kept = result.runners
    assert not lost.complete
    assert kept.complete
    assert kept.refused == 0
    assert "&ndash;" in result._repr_html_()
    held = crowd(ladder.one_semaphore, ladder.workers, posts=5000, seconds=1.0, progress=False).held
    assert held[0].tasks > 2500
    assert held[1].tasks < 100


@pytest.mark.slow
async def test_demo_shows_who_was_refused():
    import io
    import re

    from rich.console import Console

    from loopclinic.lessons.unbounded_gather.demo import POSTS, demo

    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    await demo(console)
    text = console.file.getvalue()
    before, after = re.findall(rf"(\d+) of {POSTS}", text)
    assert int(before) < POSTS / 2
    assert int(after) == POSTS
    assert "returned None" in text
    assert "loopclinic check 04" in text
