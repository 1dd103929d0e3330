"""Lesson 09: its store agrees with a real Valkey, the killed process dies where intended, figures decide."""

import asyncio
import types

import pytest
from redis.asyncio import Redis

from loopclinic.lessons.await_races import check, ladder, story
from loopclinic.lessons.await_races.stores import Link, MemoryStore, ValkeyStore
from loopclinic.lessons.core import Judged, Kept
from loopclinic.lessons.schedules.search import search_schedules
from loopclinic.servers import SERVICES

COMMANDS = [
    ("get", "a"),
    ("ttl", "a"),
    ("incr", "a"),
    ("ttl", "a"),
    ("expire", "a", 100),
    ("expire", "a", 50, {"nx": True}),
    ("incr", "a"),
    ("get", "a"),
    ("set", "a", 7, {"nx": True}),
    ("set", "b", 7, {"nx": True, "ex": 60}),
    ("incr", "b"),
    ("set", "b", 0, {"ex": 30}),
    ("set", "b", 5),
    ("ttl", "b"),
    ("expire", "c", 10),
    ("delete", "a"),
    ("delete", "a"),
]


def given(command):
    name, *values = command
    options = values.pop() if isinstance(values[-1], dict) else {}
    return name, values, options


def test_the_store_in_memory_answers_as_valkey_does():
    async def both(url):
        client = Redis.from_url(url)
        memory, valkey = MemoryStore(), ValkeyStore(client)
        for command in COMMANDS:
            name, values, options = given(command)
            ours = getattr(memory, name)(*values, **options)
            theirs = await getattr(valkey, name)(*values, **options)
            assert ours == theirs, command
        steps = ("incr", "d"), ("expire", "d", 100), ("get", "d"), ("ttl", "d"), ("delete", "e")
        ours, theirs = memory.transaction(*steps), await valkey.transaction(*steps)
        assert ours[:3] + ours[4:] == theirs[:3] + theirs[4:] == [1, True, "1", False]
        assert ours[3] == pytest.approx(theirs[3], abs=5)
        await client.aclose()

    with SERVICES["valkey"]() as url:
        asyncio.run(both(url))


def test_a_value_ends_in_virtual_time():
    async def play(schedule):
        store = MemoryStore()
        store.set("a", 1, ex=360)
        await asyncio.sleep(359)
        assert store.ttl("a") == 1
        assert store.get("a") == "1"
        await asyncio.sleep(1)
        assert store.get("a") is None
        assert store.incr("a") == 1
        assert store.ttl("a") is None

    assert str(search_schedules(play, [0])).endswith("does not break it.")


async def test_a_process_dies_after_a_command_took_effect():
    store = MemoryStore()
    link = Link(store, 0, dies_after=2)
    call = asyncio.create_task(ladder.count_then_expire(link, "k", limit=3, window=60))
    await asyncio.wait([call], timeout=0.1)
    assert not call.done()
    assert (store.get("k"), link.last) == ("1", "expire")
    link.over.set()
    with pytest.raises(ConnectionError, match="the process has died"):
        await call
    with pytest.raises(ConnectionError):
        await link.get("k")


@pytest.mark.parametrize(
    ("way", "safe"),
    [
        ("check_then_count", False),
        ("locked", True),
        ("count_then_expire", True),
        ("one_step", True),
    ],
)
def test_each_rung_as_the_notebook_says(way, safe):
    found = search_schedules(story.playing(getattr(ladder, way)), 100)
    assert (found.smallest is None) == safe
    if not safe:
        assert len(found.smallest.lanes) == 2
        assert 4 <= len(found.smallest.steps) <= 6


def test_a_customer_who_keeps_trying():
    async def end_moves(store, key, *, limit, window):
        used, _ = await store.transaction(("incr", key), ("expire", key, window))
        return used <= limit

    said = str(story.keeps_trying(end_moves, ladder.one_step, hours=3))
    assert "Sent 0 of 6" in said
    assert "Sent 5 of 6" in said


def test_what_a_limiter_holds_is_counted_and_what_the_loop_holds_is_not():
    lab = types.ModuleType("lab_of_this_test")
    source = "class Limiter:\n    seen = {}\n    def __init__(self):\n        self.own = set()\n"
    exec(source, vars(lab))
    limiter = lab.Limiter()
    before = check._reach(limiter, lab)
    limiter.own |= {f"own {n}" for n in range(10)}
    lab.Limiter.seen.update({f"key {n}": f"value {n}" for n in range(10)})
    lab.kept = [f"kept {n}" for n in range(10)]
    limiter.loop = asyncio.new_event_loop()
    assert check._reach(limiter, lab) - before in range(40, 44)
    limiter.loop.close()


def test_a_call_that_takes_no_time_keeps_nobody_waiting():
    found = check.Keys.Found(0.0, 0.0, allowed=200, kept=0.0, waited=None, line=None)
    assert [*check.Keys().judge(found, Judged())] == [Kept(1), Kept(6), Kept(7)]


def test_keys_that_share_a_counter_are_told():
    found = check.Keys.Found(2.0, 2.0, allowed=172, kept=0.0, waited=None, line=None)
    reason, *_ = check.Keys().judge(found, Judged())
    assert (reason.promise, reason.measured, reason.budget) == (1, "172 calls", "200 calls")


@pytest.mark.parametrize(
    ("wrong", "got", "allowed", "conflict"),
    [
        (100, "TTTFFTTTFFTTT TTTTTT", 200, "non-atomic-counter"),
        (82, "TTTTFTTTTFTTT TTTTTT", 200, "non-atomic-counter"),
        (100, "TTTTFTTTTFTTT TTTTTT", 200, None),  # one after the other, too
        (100, "TTTFFTTTFFTTT TTTTTT", 3, None),  # one counter for all keys
    ],
)
def test_a_wrong_count_is_a_race_only_where_calls_one_by_one_come_out_right(
    wrong, got, allowed, conflict
):
    windows = check.Windows.Found(got, "TTTFFTTTFFTTT TTTTTT", "F", "T", None, None)
    keys = check.Keys.Found(2.0, 2.0, allowed, 0.0, None, None)
    found = check.AtOnce.Found(check.Searched(100, wrong, 0, error="2 were allowed"), None)
    (reason,) = check.AtOnce().judge(found, Judged({check.Windows: windows, check.Keys: keys}))
    assert (reason.promise, reason.conflict) == (1, conflict)
    assert ("this is no race" in reason.next_step) == (conflict is None)


def test_a_cache_entry_that_ends_is_computed_once_under_a_lock():
    assert str(story.stampede(30)).splitlines()[0].endswith("30 of 30")
    assert str(story.stampede(30)).splitlines()[1].endswith("1 of 30")


# On a real Valkey, at full length.


@pytest.mark.prove
async def test_what_the_notebook_shows_on_a_real_valkey():
    sent = [
        (await story.send_codes(ladder.check_then_count, connections=connections)).sent
        for connections in (30, 50, 100)
    ]
    assert sent == [30, 50, 100], "as many as there are connections"
    assert (await story.send_codes(ladder.one_step)).sent == story.LIMIT
    found = str(await story.two_processes(ladder.check_then_count, ladder.one_step))
    assert "one_step: From one process 0 of 20; From two 0 of 20" in found
    assert "check_then_count: From one process 0" not in found
    left = str(await story.killed(ladder.count_then_expire, ladder.one_step))
    assert "count_then_expire: Its process was killed by signal 9; The counter 1, TTL -1" in left
    assert "It ends in 3600 s" in left or "It ends in 3599 s" in left
    late = str(await story.retried())
    assert "retry_on_timeout=False: The caller gets TimeoutError; Counted 1" in late
    assert "retry_on_timeout=True: The caller gets 2; Counted 2" in late


@pytest.mark.prove
def test_no_rung_of_the_race_sends_too_many_but_the_first():
    found = story.race(
        ladder.check_then_count, ladder.one_step, ladder.one_command, calls=200, rounds=1
    )
    assert found["check_then_count"].typical("sent") > story.LIMIT
    assert found["one_step"].typical("sent") == story.LIMIT
