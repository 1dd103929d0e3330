"""Lesson 02's parts on a real PostgreSQL: what hangs, what it leaves behind, and what it survives."""

import asyncio
import random
import socket
import threading
import time
from urllib.parse import urlsplit

import asyncpg
import psycopg
import pytest

from loopclinic.lessons.database.sessions import SessionMonitor, mine, named
from loopclinic.lessons.sync_database import ladder
from loopclinic.lessons.sync_database.audit_tables import (
    answer_to,
    companies,
    draw,
    enter,
    lay_out,
)
from loopclinic.lessons.sync_database.check import _HOLD
from loopclinic.lessons.sync_database.ladder import opened
from loopclinic.lessons.sync_database.story import cancelled, hang, patient, race
from loopclinic.servers.postgres import postgres
from loopclinic.servers.slow_proxy import SlowLine


@pytest.fixture
def dsn():
    with postgres() as address:
        lay_out(address)
        yield address


@pytest.fixture
def observer(dsn):
    with SessionMonitor(dsn, "observer") as one:
        yield one


# Records.


def forgotten(observer, name):
    """Whether PostgreSQL knows of no such session any more: a closed one is told of a little longer."""
    end = time.monotonic() + 8
    while observer.sessions(name) and time.monotonic() < end:
        time.sleep(0.02)
    return observer.sessions(name) == []


def test_answers_name_the_company_where_the_audit_says_so():
    for audit in draw(random.Random(3), companies(), first=7):
        named_in = [
            audit.company.name.lower() in answer_to(audit, text).lower()
            for _, text, _ in audit.queries
        ]
        assert named_in == [mentioned for _, _, mentioned in audit.queries]
        assert sum(named_in) == audit.mentions


def test_no_two_queries_share_a_text():
    audits = draw(random.Random(1), companies() * 2, first=1)
    texts = [text for audit in audits for _, text, _ in audit.queries]
    assert len(set(texts)) == len(texts)
    with pytest.raises(LookupError, match="no query of audit 1"):
        answer_to(audits[0], "What time is it?")


@pytest.mark.parametrize("dsn_", ["postgresql://h/d", "postgresql://h/d?sslmode=disable"])
def test_a_name_is_added_to_an_address(dsn_):
    assert psycopg.conninfo.conninfo_to_dict(named(dsn_, "a b"))["application_name"] == mine("a b")


# The observer.


@pytest.mark.prove
def test_observer_sees_who_holds_and_who_waits(dsn, observer):
    with psycopg.connect(named(dsn, "one")) as one:
        one.execute("update companies set mentions = 1 where id = 1")
        (idle,) = observer.sessions("one")
        assert (idle.state, idle.in_transaction) == ("idle in transaction", True)
        other = psycopg.connect(named(dsn, "two"))
        thread = threading.Thread(
            target=other.execute, args=("update companies set mentions = 2 where id = 1",)
        )
        thread.start()
        while not (found := observer.sessions("two"))[0].waits_for_lock:
            time.sleep(0.01)
        assert found[0].blocked_by == [idle.pid]
        assert str(idle.pid) in found[0].says
        one.rollback()
        thread.join()
        other.close()
    assert observer.forgotten("two", 2)[1] == []


@pytest.mark.prove
def test_held_rows_can_be_referred_to_and_not_written(dsn, observer):
    with observer.holding(_HOLD):
        enter(observer.connection, draw(random.Random(1), companies()[:1], first=1))
        with (
            psycopg.connect(dsn, options="-c lock_timeout=50") as other,
            pytest.raises(psycopg.errors.LockNotAvailable),
        ):
            other.execute("update companies set mentions = 1 where id = 1")
    observer.connection.execute("update companies set mentions = 1 where id = 1")


# The slow line.


@pytest.mark.prove
def test_slow_line_delays_each_round_trip_and_leaves_nothing(dsn):
    threads = set(threading.enumerate())
    with SlowLine(dsn, there_and_back=0.1) as slow, psycopg.connect(slow) as connection:
        port = urlsplit(slow).port
        began = time.perf_counter()
        connection.execute("select 1")  # begin, and the query itself
        assert time.perf_counter() - began > 0.19
    assert set(threading.enumerate()) <= threads
    with socket.socket() as knock:
        assert knock.connect_ex(("127.0.0.1", port)) != 0


# Hangs and cancels.


@pytest.mark.prove
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([1, 2, 3], ("pool.connection()", ["idle in transaction"] * 2, "PoolTimeout")),
        ([4, 4], ("execute(LOCK", ["active", "idle in transaction"], "LockNotAvailable")),
    ],
    ids=["dry pool", "locked row"],
)
async def test_a_hang_is_named_within_a_tenth_of_a_second(dsn, observer, wanted, expected):
    code, states, error = expected
    found = await hang(patient, dsn, wanted, connections=2, title="it", patience=1.0)
    assert found.stall is not None
    assert code in found.stall.code
    assert found.stall.first_seen < 0.1
    assert sorted(one.state for one in found.sessions) == states
    assert found.end.startswith(error)
    assert error in str(found)
    assert error in found._repr_html_()
    assert forgotten(observer, "hang")


@pytest.mark.prove
async def test_what_hops_as_a_whole_does_not_hang(dsn):
    async def whole(pool: ladder.ConnectionPool, company: int):
        await ladder.on_threads(pool, f"update companies set mentions = 1 where id = {company}")

    found = await hang(whole, dsn, [1, 2, 3], connections=2, title="it", patience=1.0)
    assert found.stall is None
    assert "no hang" in str(found)


@pytest.mark.prove
async def test_interrupted_in_a_transaction_a_cell_leaves_nothing(dsn, observer):
    async def interrupted(pool: ladder.ConnectionPool, company: int):
        with pool.connection() as conn:
            conn.execute("update companies set mentions = 9 where id = %s", [company])
            raise asyncio.CancelledError  # what an interrupted cell's await raises

    await hang(interrupted, dsn, [1], connections=1, title="it", patience=1.0)
    assert forgotten(observer, "hang")
    assert observer.rows("select mentions from companies where id = 1") == [(0,)]


@pytest.mark.prove
async def test_what_each_rung_leaves_behind_when_cancelled(dsn):
    drawing = await cancelled(dsn, ladder.on_threads, ladder.psycopg_async, ladder.native)
    on_threads, psycopg_async, native = str(drawing).splitlines()
    assert "still active in a transaction, its locks held" in on_threads
    assert "nothing left" in psycopg_async
    assert "nothing left" in native


@pytest.mark.prove
async def test_pools_are_what_a_rung_asks_for_and_are_closed(dsn, observer):
    async def native(pool: asyncpg.Pool, query: str): ...

    for rung in (*ladder.RUNGS, native):
        async with opened(rung, named(dsn, "pools"), 2) as pool:
            kind = type(pool).__module__.partition(".")[0]
            assert kind == ("asyncpg" if rung.__name__ == "native" else "psycopg_pool")
            await rung(pool, "select 1")
        assert forgotten(observer, "pools")


@pytest.mark.prove
def test_race_tells_the_blocking_one_from_the_native_one(dsn):
    ways = (ladder.blocking, ladder.native)
    found = race(*ways, dsn=dsn, rounds=1, seconds=0.5, progress=False)
    blocking, native = found["blocking"].typical("rate"), found["native"].typical("rate")
    assert native > 2 * blocking
    assert blocking <= 1.1 / 0.02
    assert native <= 1.1 * 10 / 0.02
    assert found["native"].typical("share") == pytest.approx(native / 500)
    assert "The bound is connections / latency = 500 queries/s." in str(found)
