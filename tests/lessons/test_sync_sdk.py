"""Lesson 06: what its SDK notes, what its findings say, and what its experiments show on a real server."""

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from loopclinic.lessons.core import Ending, Judged, Kept, Loop, Place
from loopclinic.lessons.core.verdicts import broke
from loopclinic.lessons.story.race import Result, Runner
from loopclinic.lessons.sync_sdk import check, ladder, story
from loopclinic.lessons.sync_sdk.noted_sdk import NotedSdk

URL = "http://key:secret@127.0.0.1:1"
FINE = Ending("returned", 0.1)
RAISED = Ending("raised", 0.1)
CANCELLED = Ending("cancelled", 0.001)
LINE, GET = Place("lab.py", 7, "await put()"), Place("lab.py", 9, "await get()")
LOOP = Loop(1.5, 0, 0.02, 0.0, 0.0, 0.0, 3, None, LINE, False)


def test_calls_are_noted_with_their_thread_once_however_deep():
    sdk = NotedSdk(URL)
    inner = sdk._noting("put_object", lambda *_, **__: sdk.under_way)
    outer = sdk._noting("fput_object", inner)
    with ThreadPoolExecutor(1, thread_name_prefix="default-executor") as shared:
        assert shared.submit(outer, "pictures", "a.png").result() == 1
    with ThreadPoolExecutor(1) as own:
        assert own.submit(inner, "pictures", object_name="b.png").result() == 1
        assert sdk.own_alive() == 1
    assert sdk.made == [("fput_object", "a.png"), ("put_object", "b.png")]
    assert (sdk.on_default, len(sdk.threads), sdk.most, sdk.under_way) == (1, 2, 1, 0)
    assert (sdk.own_alive(), sdk.on_loop) == (0, {})


def test_calls_at_once_are_counted():
    sdk, together = NotedSdk(URL), threading.Barrier(3)
    call = sdk._noting("put_object", lambda: together.wait(10))
    with ThreadPoolExecutor(3) as own:
        for _ in range(3):
            own.submit(call)
    assert (sdk.most, sdk.under_way, sdk.times("put_object")) == (3, 0, 3)


def test_a_call_on_the_main_thread_and_an_error_are_noted():
    sdk = NotedSdk(URL)
    sdk.failures["bucket_exists"] = error = OSError("away")
    call = sdk._noting("bucket_exists", lambda: True)
    with pytest.raises(OSError, match="away"):
        call()
    assert call()
    assert sdk.raised == [error]
    assert list(sdk.on_loop) == ["bucket_exists"]
    assert sdk.connect().bucket_exists is not None
    assert sdk.times("connect") == 1


def judged(scene, **changed):
    """Return what a scene says of a finding of a right answer, but for what is changed."""
    right = {
        check.First: {
            "endings": [FINE] * 15,
            "stored": 12,
            "got": 3,
            "loop": LOOP,
            "on_loop": {},
            "most": 3,
            "threads": 3,
            "on_default": 0,
            "thread_wait": 0.0,
            "connects": 1,
            "makes": 1,
        },
        check.Failing: {
            "endings": [RAISED, RAISED, FINE, RAISED, FINE, RAISED],
            "same": [True, True, False, True, False, True],
            "got": True,
        },
        check.Cancelled: {
            "beside": [FINE] * 3,
            "endings": [CANCELLED] * 4,
            "sent": 0,
            "most": 2,
            "connects": 0,
        },
        check.Closing: {"under_way": 0, "threads": 0, "waiting": FINE, "loop": LOOP},
    }[type(scene)]
    given = {"failed": None, "put_at": LINE, "get_at": GET} | right | changed
    return [*scene.judge(scene.Found(**given), Judged())]


@pytest.mark.parametrize("scene", check.CHECK.scenes, ids=lambda one: one.name)
def test_a_right_answer_keeps_what_a_scene_tests(scene):
    assert {one.promise for one in judged(scene)} == set(scene.promises)
    assert all(isinstance(one, Kept) for one in judged(scene))


@pytest.mark.parametrize(
    ("scene", "changed", "promise", "conflict", "said"),
    [
        (check.First(), {"on_loop": {"put_object": LINE}}, 2, "blocking-sdk", "`put_object`"),
        (
            check.First(),
            {"on_default": 6, "thread_wait": 0.4},
            3,
            "executor-saturation",
            "waited 400 ms",
        ),
        (check.First(), {"threads": 4}, 3, "too-many-connections", "4 threads, 3 at once"),
        (check.First(), {"most": 1}, 3, "sequential-awaits", "1 call of the SDK ran at once"),
        (check.First(), {"makes": 2}, 4, "lazy-init-race", "`make_bucket` 2 times"),
        (check.First(), {"stored": 11}, 1, None, "The server has 11 of 12"),
        (check.Failing(), {"got": False}, 1, None, "`get` of a file that is stored"),
        (
            check.Failing(),
            {"same": [True, True, False, True, False, False]},
            1,
            None,
            "`get_object`, of what is missing",
        ),
        (
            check.Failing(),
            {
                "endings": [RAISED, RAISED, FINE, FINE, FINE, RAISED],
                "same": [True, True, False, False, False, True],
            },
            1,
            "masked-failure",
            "`put_object` raised an error; the call that needed it returned",
        ),
        (
            check.Failing(),
            {"endings": [FINE, RAISED, FINE, RAISED, FINE, RAISED], "same": [False, *[True] * 5]},
            1,
            "masked-failure",
            "`connect` was to raise an error in the first call, which returned",
        ),
        (check.Cancelled(), {"most": 4}, 5, "too-many-connections", "Then 4 calls"),
        (check.Cancelled(), {"sent": 1}, 5, "dropped-task", "1 file of calls"),
        (check.Cancelled(), {"connects": 1}, 5, None, "connected once more"),
        (check.Cancelled(), {"endings": [FINE] * 4}, 5, "swallowed-cancellation", "returned"),
        (check.Closing(), {"under_way": 2}, 6, "abrupt-shutdown", "2 calls of the SDK went on"),
        (
            check.Closing(),
            {"threads": 2},
            6,
            "unclosed-resource",
            "2 threads of the storage lived on",
        ),
        (check.Closing(), {"waiting": CANCELLED}, 6, "abrupt-shutdown", "raised CancelledError"),
    ],
)
def test_each_figure_decides(scene, changed, promise, conflict, said):
    (reason,) = (one for one in judged(scene, **changed) if not isinstance(one, Kept))
    assert (reason.promise, reason.conflict) == (promise, conflict)
    assert said in reason.sentence
    assert (reason.file, reason.line) == ("lab.py", 7)


def test_what_get_loses_is_told_at_its_line():
    (reason,) = (one for one in judged(check.First(), got=0) if not isinstance(one, Kept))
    assert (reason.promise, reason.line) == (1, GET.line)
    assert "12 of 12 files" in reason.sentence


def test_a_wait_that_nobody_notices_is_not_told():
    reason = judged(check.First(), on_default=4, thread_wait=0.001)[1]
    assert reason.conflict == "executor-saturation"
    assert reason.sentence.endswith("have no others.")


def test_a_client_for_each_call_is_not_told_to_take_a_lock():
    (reason,) = (one for one in judged(check.First(), connects=15) if not isinstance(one, Kept))
    assert "15 times" in reason.sentence
    assert reason.next_step.startswith("Keep the client")


def test_a_failure_of_a_call_is_not_laid_on_the_cancelled_one_beside_it():
    scene, raised = check.Cancelled(), Ending("raised", 0.1, message="TimeoutError")
    found = scene.Found(
        failed=None,
        put_at=LINE,
        get_at=GET,
        beside=[raised],
        endings=[CANCELLED] * 4,
        sent=0,
        most=2,
        connects=0,
    )
    (reason,) = scene.judge(found, Judged())
    assert (reason.promise, reason.conflict) == (5, None)
    assert [*scene.judge(found, Judged(reasons=[broke(1, "It fails.", "Do not.")]))] == []


def test_an_upload_fails_by_whatever_name_it_is_asked_for():
    sdk = NotedSdk(URL)
    sdk.failures["put_object"] = OSError("away")
    with pytest.raises(OSError, match="away"):
        sdk._noting("fput_object", lambda: True)()


def test_a_storage_that_does_not_open_says_so():
    failed = Ending("raised", 0.1, message="ValueError: no")
    (reason,) = judged(check.First(), failed=failed)
    assert reason.promise == 6
    assert "raised ValueError: no" in reason.sentence


def test_async_classes_are_found_in_the_package_of_the_synchronous_one():
    names = "httpx.Client", "redis.Redis", "minio.Minio", "nobody.has.Client"
    assert str(story.async_twins(*names)).splitlines()[:4] == [
        "httpx.Client: Async httpx.AsyncClient",
        "redis.Redis: Async redis.asyncio.Redis",
        "minio.Minio: Async none in this package",
        "nobody.has.Client: Async not installed here",
    ]


# On a real server, at full length.


@pytest.mark.alone
@pytest.mark.prove
async def test_a_client_for_each_call_holds_the_loop_and_connects_each_time():
    async def each(_, ask):
        async with httpx.AsyncClient() as client:
            await ask(client)

    async def kept(kept, ask):
        await ask(kept)

    shown = str(await story.clients(each, kept))
    (_, rate, held, made), (_, more, less, none) = re.findall(
        r"(\w+): Calls a second (\d+); A call holds the loop for ([\d.]+) ms; Connections a second (\d+)",
        shown,
    )
    assert (rate, none) == (made, "0")
    assert float(held) > 3 * float(less)
    assert float(more) > float(rate)


async def unlocked(s3):
    if not s3.there:
        if not await s3.run(s3.client.bucket_exists, s3.bucket):
            await s3.run(s3.client.make_bucket, s3.bucket)
        s3.there = True


@pytest.mark.prove
async def test_what_the_notebook_shows_on_a_real_server():
    shared, none, own = (
        await story.uploads(ladder.in_thread, ladder.none_passed, ladder.own_threads)
    ).runs
    assert (shared.worked, none.worked, own.worked) == (
        {"asyncio": 18},
        {"asyncio": 18},
        {"s3": 18},
    )
    assert min(shared.lookup, none.lookup) > 2 * story.LATENCY
    assert own.lookup < story.LATENCY / 2
    few, many = (await story.at_once(ladder.in_thread, (3, 12))).runs
    assert few.lookup < many.lookup / 2
    ways = ladder.def_endpoint, ladder.on_the_loop, ladder.async_client
    few, many, held, free = (await story.endpoints(*ways, numbers=(12, 80))).runs
    assert max(few.lookup, free.lookup) < min(many.lookup, held.lookup) / 2
    assert "1 of 4" in str(await story.first_calls(unlocked, callers=4))
    said = str(await story.giving_up())
    assert (said.count("4 of 4"), said.count("0 of 4")) == (1, 2)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.prove
def test_threads_of_its_own_reach_the_bound_and_leave_others_alone():
    ways = (ladder.on_the_loop, ladder.in_thread, ladder.own_threads, ladder.async_client)
    found = story.race(*ways, rounds=1)
    bound, _ = story._bound(found)
    one, shared, own, awaited = (way.typical("rate") for way in found.runners)
    assert 2 * one < shared < own <= 1.1 * bound
    assert min(own, awaited) > 1.4 * shared
    waits = [way.typical("lookup") for way in found.runners]
    assert min(waits[0], waits[1]) > 2 * max(waits[2], waits[3])


def test_the_race_says_how_long_a_lookup_waited_and_how_near_the_bound_is():
    rows = {"slow": (3.0, 6.0), "shared": (20.0, 1.0), "own": (44.0, 0.01), "spare": (40.0, 0.01)}
    runners = (
        Runner(name, ({"rate": rate, "lookup": lookup, "p99": 1.0},))
        for name, (rate, lookup) in rows.items()
    )
    found = Result(story._RACE, tuple(runners), {"size": 12, "latency": 0.25})
    assert found.sentence == (
        "A name lookup waited up to 6.0 s with slow, up to 10 ms with own, which reaches 92% of the bound."
    )
