"""What lessons use: a database of their own on a server that is shared."""

import asyncio
import threading
import time

import asyncpg
import psycopg
import pytest

from loopclinic.servers import SERVICES
from loopclinic.servers.postgres import ServerError, database, lease, postgres
from loopclinic.servers.postgres_status import status


def databases() -> set[str]:
    return {one["name"] for one in status().get("databases", [])}


def name_of(dsn: str) -> str:
    return psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]


@pytest.fixture
def kept():
    """Keep the server of the session while the test asks what is on it."""
    with lease("test") as held:
        yield held


def test_a_database_is_there_inside_the_block_and_gone_after_it(kept):
    with postgres() as dsn:
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE mine (n int)")
        assert name_of(dsn) in databases()
    assert name_of(dsn) not in databases()
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(dsn)


def test_it_is_dropped_under_open_transactions(kept):
    with postgres() as dsn:
        connection = psycopg.connect(dsn)
        connection.execute("SELECT 1")
    assert name_of(dsn) not in databases()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()


def test_it_is_dropped_when_the_block_fails(kept):
    with pytest.raises(KeyError), postgres() as dsn:
        raise KeyError
    assert name_of(dsn) not in databases()


async def test_the_asynchronous_twin_keeps_the_loop_free_and_uses_no_executor(kept):
    longest, last = 0.0, time.monotonic()

    async def tick():
        nonlocal longest, last
        while True:
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()

    ticking = asyncio.create_task(tick())
    began = time.monotonic()
    async with postgres() as dsn:
        took = time.monotonic() - began
        ticking.cancel()
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        assert not any("asyncio" in one.name for one in threading.enumerate())
    assert longest < took / 2
    assert name_of(dsn) not in databases()


async def test_a_start_that_is_cancelled_leaves_nothing(kept):
    before, threads = databases(), threading.active_count()
    one = database("cancelled")
    starting = asyncio.create_task(one.start_async())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    deadline = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert one.dsn == ""
    assert databases() == before


def test_each_use_has_its_own_and_the_server_is_one(kept):
    with database("Sync Database!") as first, database("sync", lease=kept) as second:
        assert name_of(first).startswith("loopclinic_sync_database_")
        assert name_of(first) != name_of(second)
        ports = {psycopg.conninfo.conninfo_to_dict(one)["port"] for one in (first, second)}
        assert ports == {str(kept.where["port"])}
    kept.ask("status")  # the lease that was shared is still good


def test_closing_twice_and_starting_again(kept):
    one = postgres()
    first = one.start().dsn
    assert one.start().dsn == first
    one.close()
    one.close()
    assert one.dsn == ""
    with one as second:
        psycopg.connect(second).close()


def test_lessons_can_t_lock_the_kit_out_by_using_up_the_connections(kept):
    connections = []
    with postgres() as dsn:

        def use_up():
            while True:
                connections.append(psycopg.connect(dsn))

        with pytest.raises(psycopg.OperationalError, match="remaining connection slots"):
            use_up()
        assert len(connections) >= 90
        # The kit drops it through a connection that is kept free.
    assert name_of(dsn) not in databases()
    for one in connections:
        one.close()


def test_a_stranger_needs_the_password(kept):
    good = kept.dsn()
    psycopg.connect(good).close()
    parts = psycopg.conninfo.conninfo_to_dict(good)
    for wrong in ("", "wrong"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(**{**parts, "password": wrong}, passfile="/nonexistent")
    assert (kept_folder() / "state.json").stat().st_mode & 0o077 == 0
    assert (kept_folder() / "password").stat().st_mode & 0o077 == 0


def kept_folder():
    from loopclinic.servers.postgres_lease import state_folder

    return state_folder()


def test_the_service_of_checks_gives_the_address(kept):
    with SERVICES["postgres"]() as dsn, psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("learner",)


def test_a_lease_that_is_closed_says_so():
    one = lease("closed").start()
    one.close()
    with pytest.raises(ServerError, match="start it again"):
        one.create("loopclinic_x")
