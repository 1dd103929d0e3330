"""Lesson 04: its posts, its drawings, and its experiments at small scale."""

import asyncio
import io
import re

import pytest
from rich.console import Console

from loopclinic.lessons import lesson
from loopclinic.lessons.story.demo_output import show
from loopclinic.lessons.unbounded_gather import demo, ladder, story
from loopclinic.lessons.unbounded_gather.ladder import workforce
from loopclinic.lessons.unbounded_gather.posts import Source, due
from loopclinic.lessons.unbounded_gather.story import CAPACITY, QUEUE, publish_here
from loopclinic.probe import garbage

# Posts.


async def test_source_counts_posts_that_somebody_holds():
    source = Source(dict.fromkeys(range(50), "note"))
    kept = []
    async for post in source.read():
        if post.id % 5 == 0:
            kept.append(post)
        del post
    garbage.collect()
    assert source.taken == 50
    assert source.alive == len(kept) == 10
    kept.clear()
    assert source.alive == 0
    assert source.peak <= 11


async def test_source_ends_when_too_many_are_held():
    source = Source(dict.fromkeys(range(100_000), "note"), most=30)
    held = [post async for post in source.read()]
    assert source.stopped
    assert len(held) == source.peak == 31


async def test_due_posts_have_bodies_of_their_own():
    posts = [post async for post in due(300)]
    assert [post.id for post in posts] == list(range(300))
    assert len({post.body for post in posts}) == 300


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

    source = Source(dict.fromkeys(range(500), "note"))
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


@pytest.mark.prove
async def test_everything_at_once_is_refused_and_the_last_rung_is_not():
    before = await publish_here(ladder.publish_all, 300)
    after = await publish_here(ladder.polite, 100)
    assert before.held.ended == "returned None"
    assert before.refused + before.counts.resets >= 75
    assert before.held.tasks >= 300
    assert before.counts.peak_in_flight > CAPACITY + QUEUE
    assert (after.accepted, after.refused, after.counts.resets) == (100, 0, 0)
    assert after.counts.peak_in_flight <= CAPACITY
    assert after.held.tasks <= 3 * CAPACITY
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.prove
async def test_a_storm_is_what_retry_after_spares_the_service():
    async def impatient(session, post):
        while True:
            async with session.post("/v1/posts", data=post.body) as response:
                if response.status != 429:
                    return

    drawn = await story.retry_storm(impatient, ladder.patient, posts=60, seconds=0.6)
    said = re.findall(r"refused ([\d,]+) requests. All (\d+) posts", str(drawn))
    (loud, _), (quiet, _) = said
    assert [all_through for _, all_through in said] == ["60", "60"]
    assert quiet == "20"
    assert int(loud.replace(",", "")) > 3 * 20


@pytest.mark.prove
async def test_one_failure_in_three_ways():
    async def gathered(jobs):
        return await asyncio.gather(*jobs)

    async def quiet(jobs):
        return await asyncio.gather(*jobs, return_exceptions=True)

    async def grouped(jobs):
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job)

    _, raised, listed, cancelled = str(
        await story.one_failure(gathered, quiet, grouped, posts=200)
    ).split("\n")
    assert "gets ClientResponseError" in raised
    assert raised.endswith("Never sent 0")
    assert "item 20 of it is the error; Published by then 199; Later, unnoticed 0" in listed
    assert "ExceptionGroup of ClientResponseError" in cancelled
    assert not cancelled.endswith("Never sent 0")


@pytest.mark.prove
def test_few_posts_in_a_race_and_a_crowd():
    result = story.race(ladder.publish_all, ladder.polite, posts=120, rounds=1, progress=False)
    lost, kept = result.runners
    assert lost.typical("published") < 120
    assert (kept.typical("published"), kept.typical("lost")) == (120, 0)
    assert "Posts/s -" in str(result)
    held = story.crowd(ladder.one_semaphore, ladder.workers, posts=5000, seconds=1.0)
    many, few = (int(n.replace(",", "")) for n in re.findall(r"([\d,]+) tasks", str(held)))
    assert many > 2500
    assert few < 100


@pytest.mark.prove
async def test_demo_shows_who_was_refused():
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    await show(console, lesson("04"), demo)
    text = console.file.getvalue()
    before, after = re.findall(rf"(\d+) of {demo.POSTS}", text)
    assert int(before) < demo.POSTS / 2
    assert int(after) == demo.POSTS
    assert "returned None" in text
    assert "loopclinic check 04" in text
