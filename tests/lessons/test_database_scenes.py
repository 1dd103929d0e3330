"""What a check sees of a lab's sessions at PostgreSQL, and how it opens and closes a lab's service."""

import asyncio
import time
from random import Random
from types import SimpleNamespace

import asyncpg
import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from loopclinic.lessons.core import Call
from loopclinic.lessons.core.stage import opened
from loopclinic.lessons.database.scenes import Database, in_pool
from loopclinic.lessons.database.sessions import SessionMonitor, named
from loopclinic.servers.postgres import postgres

pytestmark = pytest.mark.prove


@pytest.fixture
async def database():
    with postgres() as dsn:
        line = SimpleNamespace(
            seed=1,
            rng=Random(1),
            antipattern=None,
            services={"postgres": dsn},
            step=lambda name: None,
            fact=lambda name, value: None,
        )
        async with opened(line, connections=1) as stage, stage.stack:
            yield await stage.shared(Database, stage)


class Service:
    """One connection, which is not closed if it is told so."""

    def __init__(self, dsn, *, closes=True, name=None):
        self.dsn, self.closes, self.options = (
            dsn,
            closes,
            {"application_name": name} if name else {},
        )

    async def __aenter__(self):
        self.connection = await psycopg.AsyncConnection.connect(self.dsn, **self.options)
        return self

    async def __aexit__(self, *_):
        if self.closes:
            await self.connection.close()

    async def run(self):
        await self.connection.execute("select 1")


async def serve(database, opens, drive, *, name="scene", needs="run", **options):
    return await database.serve(name, opens, drive, needs=needs, **options)


@pytest.mark.parametrize("name", [None, "my own service", ""])
async def test_sessions_are_the_labs_whatever_it_calls_them(database, name):
    with SessionMonitor(database.dsn, "kit"), psycopg.connect(named(database.dsn, "other scene")):

        async def drive(service):
            await service.run()
            (session,) = await database.sessions("scene")
            assert session.in_transaction
            ends = time.monotonic() + 8
            while not seen.peak and time.monotonic() < ends:
                await asyncio.sleep(0.01)

        async with database.watch("scene") as seen:
            found = await serve(database, lambda dsn: Service(dsn, name=name), drive)
    assert (found.closing, found.left, found.stuck) == (None, 0, None)
    assert seen.peak == len(seen.names) == seen.opened == 1


async def test_sessions_too_short_to_be_seen_are_counted(database):
    async with database.watch("scene") as seen:
        async with database.holding("select 1"):  # one of the check's own
            for _ in range(9):
                async with Service(database.dsn):
                    pass
        # PostgreSQL counts a session as it ends, before it forgets it.
        async with asyncio.timeout(8):
            while await database.sessions("scene"):
                await asyncio.sleep(0.01)
    assert seen.opened == 9


async def test_what_is_left_open_is_counted_and_ended(database):
    service = Service("", closes=False, name="x")

    def opens(dsn):
        service.dsn = dsn
        return service

    found = await serve(database, opens, Service.run)
    assert found.left == 1
    assert await database.sessions("scene") == []
    await service.connection.close()  # PostgreSQL has ended it


async def test_a_pool_that_replaces_what_is_ended_is_not_waited_for(database):
    class Pooled(Service):
        async def __aenter__(self):
            self.pool = await asyncpg.create_pool(self.dsn, min_size=1, max_size=2)
            return self

        async def __aexit__(self, *_):
            pass

    opened = []

    async def drive(service):
        opened.append((service.pool, time.perf_counter()))

    found = await serve(database, Pooled, drive)
    ((pool, closing),) = opened
    assert time.perf_counter() - closing < 2  # half a second of grace; the pool would take 2.5
    assert found.left == 1

    async def look(service):
        assert len(await database.sessions("next scene")) == 1

    await serve(database, Service, look, name="next scene")
    await pool.close()


async def test_a_service_that_does_not_open_says_why(database):
    assert database.opens
    found = await serve(database, Service, Service.run, needs="fly")
    assert "which has no `fly`" in found.opening.message
    assert not database.opens
    assert await database.sessions("scene") == []


async def test_a_call_that_keeps_the_loop_is_broken_off(database, tmp_path):
    lab = tmp_path / "lab.py"
    lab.write_text("import time\n\nasync def stop():\n    time.sleep(20)\n")
    scope = {}
    exec(compile(lab.read_text(), lab, "exec"), scope)

    async def drive(service):
        ending = await Call(scope["stop"]).settled(10)
        assert ending.how == "broken-off"
        assert ending.place.line == 4

    stuck = (await serve(database, Service, drive, patience=0.2)).stuck
    assert stuck.stall.place.code == "time.sleep(20)"
    assert len(stuck.sessions) == 1


async def test_a_call_that_waits_for_a_connection_is_in_the_pool(database):
    async with AsyncConnectionPool(database.dsn, min_size=1, max_size=1, open=False) as pool:

        async def takes():
            async with pool.connection() as connection:
                await connection.execute("select pg_sleep(60)")

        works, waits = Call(takes), Call(takes)
        async with asyncio.timeout(8):
            while (in_pool(works), in_pool(waits)) != (False, True):
                await asyncio.sleep(0.01)
        assert not in_pool(works), "it has its connection, and waits for PostgreSQL"
        assert in_pool(waits)
        for call in (works, waits):
            await call.cancelled(5)
