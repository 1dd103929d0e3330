"""Lesson 11: what holds a task, what a restart does to its bot, and what its check watches a Jobs with."""

import asyncio
import contextlib
import logging
import re
import types

import pytest
from telegram.ext import Application

from loopclinic.lessons.core import Ending, Judged, Kept
from loopclinic.lessons.task_lifetimes import bot, check_closing, ladder, story
from loopclinic.lessons.task_lifetimes.bot_api import ALBUM, BotApi
from loopclinic.probe import garbage


async def test_the_log_of_asyncio_is_collected_and_left_as_it_was():
    logger = logging.getLogger("asyncio")
    before = [*logger.handlers], logger.propagate

    async def waits():
        await asyncio.get_running_loop().create_future()

    with story.asyncio_log() as log:
        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        del task
        garbage.collect()
    assert log == ["Task was destroyed but it is pending!"]
    assert ([*logger.handlers], logger.propagate) == before


def test_a_clean_up_that_fails_once_ends_drifts_or_goes_on():
    async def each_hour(clean):
        while True:
            await clean()
            await asyncio.sleep(3600)

    async def caught(clean):
        while True:
            with contextlib.suppress(OSError):
                await clean()
            await asyncio.sleep(3600)

    shown = str(story.clean_ups(each_hour, caught, ladder.hourly))
    assert re.findall(
        r"(\w+): Runs in a day (\d+); .* by (\d+) minutes; The error is (\w+)", shown
    ) == [
        ("each_hour", "3", "20", "in"),
        ("caught", "21", "200", "swallowed"),
        ("hourly", "24", "0", "logged"),
    ]


async def test_the_server_hands_out_updates_once_and_never_prints_an_album_and_every_fifth_print_fails():
    async with BotApi() as api:
        for customer in (ALBUM, 2, bot.FIFTH):
            api.say(customer)
        async with Application.builder().token("1:x").base_url(api.url).build().bot as client:
            updates = await client.get_updates()
            assert [one.effective_user.id for one in updates] == [ALBUM, 2, bot.FIFTH]
            asked = [asyncio.create_task(bot.print_photo(one)) for one in updates]
            await asyncio.sleep(0.1)
            await api.print_some(2)
            await asyncio.wait_for(api.has_sent(2), 10)
            assert not asked[0].done()
            asked[0].cancel()
            await asyncio.wait(asked)
            assert sorted(api.sent) == [
                *((ALBUM, bot.AGAIN), (2, bot.READY)),
                (bot.FIFTH, bot.SORRY),
            ]
            assert isinstance(asked[2].exception(), bot.PaperError)
            assert await client.get_updates(offset=updates[-1].update_id + 1) == ()


async def test_two_taps_open_two_accounts_unless_a_user_waits_for_himself():
    found = str(await story.two_taps(False, True, story.PerUser(), customers=3, slow=0.02))
    assert "False: Accounts 3" in found
    assert "True: Accounts 6" in found
    assert "PerUser(): Accounts 3" in found


async def test_the_frameworks_create_task_has_no_end_of_its_own():
    said = str(await story.promises(patience=0.5))
    assert said.startswith("Application.create_task keeps 2 of 5.")
    assert "An error reaches the error handler, once: Kept yes" in said
    assert "no job is cancelled" in said


async def test_what_asyncio_reports_in_a_scene_stays_there_and_no_task_is_left():
    lab = types.ModuleType("lab_of_this_test")
    lab.Jobs = ladder.Jobs
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler(), asyncio.all_tasks()

    async def lost():
        await loop.create_future()

    async with check_closing.watch_jobs(lab) as watched:
        assert watched.start("job", lambda: asyncio.sleep(100)) == "returned True"
        asyncio.ensure_future(lost())  # noqa: RUF006 - it is to be lost
        await asyncio.sleep(0)
        garbage.collect()
        assert watched.reported("destroyed")
    assert (loop.get_exception_handler(), asyncio.all_tasks()) == before
    assert watched.jobs is None


def closed(*endings, running=0, cut=0, finished=0, cancelled=10.0):
    return check_closing.Closed(endings or (FINE,), finished, cancelled, cut, running)


FINE = Ending("returned", 10.0)


@pytest.mark.parametrize(
    ("long", "conflict", "said"),
    [
        (
            closed(Ending("raised", 11.0, message="TimeoutError"), cut=5),
            "abrupt-shutdown",
            "5 of 5",
        ),
        (
            closed(Ending("broken-off", 301.0), running=5),
            "missing-deadline",
            "cancelled, and close",
        ),
        (closed(Ending("broken-off", 301.0)), "missing-deadline", "had ended, and close"),
        (closed(running=4), "dropped-task", "4 jobs had not ended"),
    ],
)
def test_an_end_of_close_is_told_by_what_became_of_the_jobs(long, conflict, said):
    in_time = closed(Ending("returned", 3.0), finished=check_closing.JOBS, cancelled=None)
    found = check_closing.Closing.Found(in_time, long, closed(), Ending("returned", 0.0), None)
    kept, reason = check_closing.Closing().judge(found, Judged())
    assert (kept, reason.promise, reason.conflict) == (Kept(4), 5, conflict)
    assert said in reason.sentence


# With the bot in a process of its own, at full length.


@pytest.mark.prove
async def test_a_task_is_left_where_the_loop_leads_to_it_and_an_eager_one_likewise():
    found = await story.who_holds(4)
    assert [*found.left.values()] == [4, 4, 4, 0, 0, 2]
    assert found.total == 14
    assert found.eager in (None, found.left)
    assert "a socket, by a StreamReader: is held by nobody" in str(found)


@pytest.mark.prove
async def test_a_restart_loses_what_nobody_waits_for():
    options = {"customers": 30, "patience": 8.0}
    kept = await story.measure(ladder.kept, **options)
    assert kept["heard"] < options["customers"] - 2
    assert kept["in time"] == 0 < kept["late"]
    let_go = await story.measure(ladder.let_go, **options)
    assert let_go["in time"] == let_go["failed"] > 0
    frameworks = await story.measure(ladder.frameworks, **options)
    assert frameworks["killed"]
    assert frameworks["heard"] == options["customers"] - 1
    supervised = await story.measure(ladder.supervised, **options)
    assert not supervised["killed"]
    assert supervised["heard"] == options["customers"]
