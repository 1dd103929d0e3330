"""Coroutines that are never awaited: the line that is blamed for each form, and what blames nobody."""

import asyncio
import sys
import threading
import warnings

import pytest

from loopclinic.checks import check_lesson
from loopclinic.checks.loading import LabSource
from loopclinic.checks.never_awaited import NeverAwaited
from loopclinic.checks.trial_processes import Limits
from loopclinic.probe import garbage
from tests.checks.conftest import SOLVED

HEAD = """\
import asyncio
import functools
class Kept:
    pass
async def fetch(x=1):
    return x
def made():
    return fetch()
async def outer(coro):
    return await coro
async def hangs():
    await asyncio.sleep(60)
"""
FORMS = {
    "bare": "fetch()  # here",
    "bare, of a library": "asyncio.sleep(1)  # here",
    "over several lines": "fetch(  # here\n    2,\n)",
    "as a method": "kept = Kept()\nkept.fetch = fetch\nkept.fetch()  # here",
    "unused": "x = fetch()  # here",
    "unused, in a list": "x = [fetch(one) for one in range(2)]  # here",
    "asked whether it is true": "if not fetch():  # here\n    pass",
    "compared": "x = fetch() == 1  # here\nprint(x)",
    "in a text": "print(f'{fetch()}')  # here",
    "its attribute": "try:\n    fetch().json()  # here\nexcept AttributeError:\n    pass",
    "iterated": "try:\n    for _ in fetch():  # here\n        pass\nexcept TypeError:\n    pass",
    "as the argument of a call": "print(fetch())  # here",
    "of a wrapper": "made()  # here",
    "of a lambda": "call = lambda: fetch()\ncall()  # here",
    "of a partial": "functools.partial(fetch, 2)()  # here",
    "of a wrapped library": "asyncio.wait_for(fetch(), 1)  # here",
    "in a group": "async with asyncio.TaskGroup():\n    fetch()  # here",
    "in a task": "async def job():\n    fetch()  # here\nawait asyncio.create_task(job())",
    "unused, in a task": "async def job():\n    x = fetch()  # here\nawait asyncio.create_task(job())",
    "as a result's item": "kept = Kept()\nkept.items = {}\nkept.replies = {}\nkept.replies[1] = fetch()  # here",
    "called by a library": "asyncio.get_running_loop().call_soon(lambda: fetch())  # here",
    "on a thread": "def job():\n    fetch()  # here\nawait asyncio.to_thread(job)",
    "returned by a thread": "await asyncio.to_thread(lambda: fetch())  # here",
}
HANDED = {
    "to a thread": "await asyncio.to_thread(job)",
    "to the loop": "asyncio.get_running_loop().call_soon(job)",
}
RIGHT = {
    "awaited": "await fetch()",
    "gathered": "await asyncio.gather(*[fetch(one) for one in range(3)])",
    "closed": "x = fetch()\nx.close()",
    "awaited later": "x = fetch()\nawait asyncio.sleep(0)\nawait x",
    "cancelled before it began": "task = asyncio.create_task(fetch())\ntask.cancel()",
    "handed to what is cancelled before it began": (
        "tasks = [asyncio.create_task(outer(fetch())) for _ in range(2)]\n"
        "tasks += [asyncio.create_task(asyncio.wait_for(fetch(), 1))]\n"
        "for task in tasks:\n    task.cancel()\n"
        "await asyncio.gather(*tasks, return_exceptions=True)"
    ),
    "cut off by a cancellation": (
        "async def job():\n    coros = [fetch(one) for one in range(2)]\n    await hangs()\n"
        "    await asyncio.gather(*coros)\n"
        "task = asyncio.create_task(job())\nawait asyncio.sleep(0)\ntask.cancel()\n"
        "await asyncio.wait([task])\ndel task"
    ),
    "cut off by an error": (
        "async def job():\n    coro = fetch()\n    raise ValueError\n    await coro\n"
        "try:\n    await job()\nexcept ValueError:\n    pass"
    ),
    "handed to a loop that is none": (
        "try:\n    asyncio.run_coroutine_threadsafe(fetch(), None).result()\n"
        "except AttributeError:\n    pass"
    ),
    "handed to a loop that runs": "try:\n    asyncio.run(fetch())\nexcept RuntimeError:\n    pass",
    "handed to a group that ends": (
        "try:\n    async with asyncio.TaskGroup() as group:\n"
        "        group.create_task(hangs()).cancel()\n        raise ValueError\n"
        "except* ValueError:\n    pass"
    ),
}


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Play the body of a lab's function, and return the lines that are blamed, and the code of each."""
    monkeypatch.setattr(warnings, "_warn_unawaited_coroutine", None)  # put back afterwards
    depth = sys.get_coroutine_origin_tracking_depth()

    def played(body):
        file = tmp_path / "mine.py"
        file.write_text(
            HEAD
            + "async def job():\n    pass\nasync def main():\n    "
            + body.replace("\n", "\n    ")
        )
        lab = LabSource(file, file)
        never = NeverAwaited(lab)
        never.install()
        module = lab.load("mine_never_awaited")

        async def main():
            await module.main()
            await asyncio.sleep(0)

        asyncio.run(main())
        garbage.collect()
        return never.news() or []

    yield played
    sys.set_coroutine_origin_tracking_depth(depth)
    threading.setprofile(None)


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS)
def test_the_line_without_an_await_is_blamed(play, body):
    found = play(body)
    assert [(one["sure"], one["handed"]) for one in found] == [(True, False)]
    assert found[0]["code"].endswith("# here")


@pytest.mark.parametrize("body", HANDED.values(), ids=HANDED)
def test_what_is_handed_to_a_sync_caller_is_blamed_where_it_is_defined(play, body):
    found = play(body)
    assert [(one["code"], one["sure"], one["handed"]) for one in found] == [
        ("async def job():", True, True)
    ]


@pytest.mark.parametrize("body", RIGHT.values(), ids=RIGHT)
def test_what_was_cut_off_blames_nobody(play, body):
    assert [one for one in play(body) if one["sure"]] == []


def test_the_number_of_each_line_is_told(play):
    assert [one["number"] for one in play("for _ in range(3):\n    fetch()")] == [3]


def wrong(tiny, solved, *changes, limits=None):
    text = SOLVED
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    solved.write_text(text)
    return check_lesson(tiny, file=solved, limits=limits)


def test_it_is_the_first_reason(tiny, tmp_path):
    change = ("await asyncio.sleep(0.01)", "asyncio.sleep(0.01); import time; time.sleep(0.3)")
    verdict = wrong(tiny, tmp_path / "mine.py", change)
    assert verdict.conflict == "unawaited-coroutine"
    first, *others = verdict.reasons
    assert (first.conflict, first.next_step.split(":")[0]) == ("unawaited-coroutine", "Await it")
    assert [one.conflict for one in others] == ["blocking-sleep"]
    assert first.line == others[0].line


def test_it_comes_before_the_hang_that_follows_from_it(tiny, tmp_path):
    change = ("await asyncio.sleep(0.01)", "q = asyncio.Queue(); q.put(1); await q.get()")
    verdict = wrong(tiny, tmp_path / "mine.py", change, limits=Limits(seconds=1.5))
    assert verdict.reasons[0].conflict == "unawaited-coroutine"
    assert "got no further" in verdict.reasons[1].sentence


def test_what_fails_for_a_coroutine_says_so(tiny, tmp_path):
    change = ("return 2 * number", "return 2 * asyncio.sleep(0, number)")
    reasons = wrong(tiny, tmp_path / "mine.py", change).reasons
    assert {one.conflict for one in reasons} == {"unawaited-coroutine"}
    assert all("Await it" in one.next_step for one in reasons)
