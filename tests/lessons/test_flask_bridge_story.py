"""Lesson 03's parts on real servers: what is lost at a deploy, what is kept, and what that takes."""

import asyncio
import random
import sys
from pathlib import Path

import psutil
import pytest

from loopclinic.lessons.database.sessions import named
from loopclinic.lessons.flask_bridge import ladder
from loopclinic.lessons.flask_bridge.bridge_servers import served
from loopclinic.lessons.flask_bridge.patched_asyncio import patched
from loopclinic.lessons.flask_bridge.story import (
    deploy,
    deploys,
    diagnose,
    own_loop,
    race,
    standstill,
    two_loops,
)
from loopclinic.lessons.flask_bridge.webhooks import (
    DEMO_SECRET,
    Ledger,
    Provider,
    batch,
    draw,
    forge,
    genuine,
    lay_out,
)
from loopclinic.servers.postgres import postgres
from loopclinic.servers.wsgi import WsgiServer


@pytest.fixture
def dsn():
    with postgres() as address:
        lay_out(address)
        yield address


@pytest.fixture(autouse=True)
def _no_process_is_left():
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    yield
    assert {one.pid for one in psutil.Process().children(recursive=True)} <= before


# Webhooks.


def test_the_batch_is_signed_where_it_says_so():
    for webhook in batch():
        signed = genuine(DEMO_SECRET, webhook.body, webhook.signature)
        assert signed == webhook.honest, webhook
    kinds = {webhook.kind for webhook in batch()}
    assert {"genuine", "redelivered", "altered", "unsigned", "other secret", "cut off"} == kinds


def test_drawn_webhooks_are_genuine_and_forged_ones_are_not():
    rng = random.Random(4)
    drawn = draw(rng, 50, secret=b"s", label="it")
    assert len({one.id for one in drawn}) == 50
    assert all(genuine(b"s", one.body, one.signature) for one in drawn)
    assert not any(genuine(b"s", one.body, one.signature) for one in forge(rng, b"s", label="no"))


def test_neighbors_are_updates_of_different_messages():
    drawn = draw(random.Random(1), 24, secret=b"s", label="it")
    assert len({one.update["message"] for one in drawn}) == 24


@pytest.mark.prove
async def test_the_batch_is_stored_once_and_forged_ones_are_refused(dsn):
    async with served(ladder.DrainedBridge, dsn) as server, Provider(server.url) as provider:
        found = await provider.many(batch(), at_once=8, again=2)
    refused = {one.webhook.kind for one in found if one.status == 401}
    assert refused == {"altered", "unsigned", "other secret", "cut off"}
    ids = {one.id for one in batch() if one.honest}
    with Ledger(dsn) as ledger:
        assert ledger.stored(ids) == ids
        assert ledger.stored(one.id for one in batch()) == ids
        assert ledger.miscounted() == 0


# Deploys.


@pytest.mark.prove
async def test_three_restarts_under_load_lose_nothing_of_the_bridge(dsn):
    for seed in range(3):
        run = await deploy(ladder.DrainedBridge, dsn, rate=80, seconds=0.5, seed=seed)
        assert run.promised > 10, run
        assert run.lost == 0, run
        assert run.threads <= 1 + ladder.SIZE  # close()'s, and those that asyncio resolves names on
        assert run.connections <= ladder.SIZE
    with Ledger(dsn) as ledger:
        assert ledger.miscounted() == 0


@pytest.mark.prove
async def test_daemon_threads_lose_what_they_promised_and_the_bridges_do_not(dsn):
    ways = (ladder.DaemonThreads, ladder.LoopPerRequest, ladder.Native)
    runs = await deploys(*ways, dsn=dsn, rate=200, seconds=0.6)
    daemon, per_request, native = runs
    # All that came while the migration held the table: 200 a second for 0.15 s at least.
    assert daemon.lost >= 15, daemon
    assert daemon.threads >= 15
    assert (per_request.lost, native.lost) == (0, 0)
    assert f"{daemon.lost} of these lost" in str(daemon)
    told = str(await diagnose(daemon, dsn))
    assert f"{daemon.lost} missing" in told
    assert "ruff, the lab file: It answers nothing" in told


@pytest.mark.prove
async def test_a_deadline_keeps_the_threads_for_others(dsn):
    told = str(await standstill(ladder.Bridge, ladder.DrainedBridge, dsn=dsn, seconds=1.5))
    bridge, drained, _ = told.splitlines()
    assert "Bridge: Answers 8 x 204; " in bridge
    assert "DrainedBridge: Answers 8 x 503; " in drained


@pytest.mark.prove
def test_race_tells_a_loop_for_each_request_from_the_bridge(dsn):
    ways = (ladder.LoopPerRequest, ladder.DrainedBridge)
    # Long enough for some of its looks to find most of the eight connections open at once.
    found = race(*ways, dsn=dsn, rounds=2, seconds=1.8, progress=False)
    assert min(found.times("rate", "DrainedBridge", "LoopPerRequest")) > 1.2
    assert found["DrainedBridge"].spread("connections")[1] <= ladder.SIZE
    assert found["LoopPerRequest"].spread("connections")[1] > ladder.SIZE
    assert "as many webhooks a second" in found.sentence
    with pytest.raises(KeyError, match="there are LoopPerRequest, DrainedBridge, record_alone"):
        found["Native"]


# Bridges that lead nowhere.


async def test_a_pool_of_one_loop_under_another_is_told_by_its_first_error(dsn):
    assert "attached to a different loop" in str(await two_loops(dsn))


async def test_a_wait_for_the_own_loop_is_named_with_its_line():
    loop = asyncio.get_running_loop()

    async def stuck():
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), loop).result(timeout=0.3)

    told = str(await own_loop(stuck))
    assert "It ended by TimeoutError" in told
    assert ".result(timeout=0.3)" in told
    await asyncio.sleep(0.05)


@pytest.mark.prove
async def test_the_patches_allow_nesting_and_lose_counts_and_warnings():
    told = str(await patched(rounds=1))
    allowed, cost, hidden, counted, task, deadline, conclusion = told.splitlines()
    first, second = (f"After {name}.apply()" for name in ("nest_asyncio", "nest_asyncio2"))
    assert "Plain RuntimeError: This event loop is already running; " in allowed
    assert f"{first} allowed; {second} allowed" in allowed
    assert cost.count("times as long") == 2
    assert "Plain ...took 0." in hidden
    assert f"{first} nothing: no warning; {second} nothing: no warning" in hidden
    assert counted.startswith("It breaks: a counter read before")
    assert f"Plain 10 tasks counted to 10; {first} 10 tasks counted to 1; " in counted
    assert counted.endswith(f"{second} 10 tasks counted to 1")
    if sys.version_info >= (3, 14):
        archived = ("It breaks", "None", "RuntimeError: Timeout should be used inside a task")
    else:
        archived = ("It keeps", "the task", "ends in time")
    for row, plain, found in (
        (task, "the task", archived[1]),
        (deadline, "ends in time", archived[2]),
    ):
        assert row.startswith(archived[0])
        assert row.endswith(f"Plain {plain}; {first} {found}; {second} {plain}")
    broken = "nest_asyncio" if sys.version_info >= (3, 14) else "neither patch"
    assert f"tasks and deadlines are broken by {broken}, the counter by nest_" in conclusion


# Faults.


@pytest.mark.prove
async def test_a_server_killed_in_the_middle_promises_no_more_than_it_stored(dsn):
    async with (
        served(ladder.DrainedBridge, named(dsn, "killed")) as server,
        Provider(server.url) as provider,
    ):
        # More than any machine stores within the time.
        due = draw(random.Random(2), 5000, secret=DEMO_SECRET, label="killed")
        delivering = asyncio.create_task(provider.many(due, at_once=8))
        await asyncio.sleep(0.2)
        psutil.Process(server.pid).kill()
        found = await delivering
    promised = {one.webhook.id for one in found if one.status == 204}
    assert any(one.status == 0 for one in found)
    with Ledger(dsn) as ledger:
        assert ledger.stored(promised) == promised


@pytest.mark.parametrize(
    ("fix", "made", "line"),
    [
        (
            "half_p4_connection_behind_a_semaphore__too-many-connections",
            "opened",
            "asyncpg.connect(",
        ),
        ("more/half_p4_thread_for_each__none", "started", "threading.Thread("),
    ],
)
async def test_what_a_receiver_makes_for_each_webhook_is_counted_with_its_line(
    dsn, fix, made, line
):
    fixes = Path(__file__).parents[1] / "labs/fixes/03"
    options = {"file": f"{fixes / fix}.py", "dsn": dsn, "secret": b"it".hex(), "size": 4}
    target = "loopclinic.lessons.flask_bridge.receiver_app:Hosted"
    webhooks = draw(random.Random(2), 16, secret=b"it", label="counted")
    async with WsgiServer(target, {**options, "timeout": 20.0}) as server:
        before = await server.state_async()
        async with Provider(server.url) as provider:
            found = await provider.many(webhooks, at_once=4)
        state = await server.state_async()
    assert {one.status for one in found} == {204}
    assert state[made] - before[made] == state["recorded"] == len(webhooks)
    assert line in state[f"{made}_at"]["code"]
    assert state["loops"] == 1
    assert "def status(self)" in state["view"]["code"]
