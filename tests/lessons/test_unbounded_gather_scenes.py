"""Lesson 04: its posts, its pictures, and its scenes in small."""

import asyncio
import gc
from dataclasses import replace

import pytest

from loopclinic.lessons.unbounded_gather import ladder
from loopclinic.lessons.unbounded_gather.charts import answers
from loopclinic.lessons.unbounded_gather.posts import DuePost, Source, due, text_of
from loopclinic.lessons.unbounded_gather.sweep import Point, Sweep
from loopclinic.lessons.unbounded_gather.workforce import workforce

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
