"""A private server for each owner: starts within a second, is isolated, ends with it however that ends."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import asyncpg
import psutil
import psycopg
import pytest

from loopclinic.servers import SERVICES
from loopclinic.servers.postgres import ServerError, down, postgres, status, up
from tests.threads import threads_left, threads_now

from .conftest import answers, one_query, port_of, posix, wait_for

pytestmark = posix


def test_it_is_there_inside_the_block_and_gone_after_it(home):
    with postgres() as dsn:
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE mine (n int)")
            who = connection.execute("SELECT current_user, current_database()").fetchone()
        assert who == ("learner", "loopclinic_lesson")
        assert len(home.keepers()) == len(home.servers()) == len(home.runs()) == 1
        assert len(home.family()) > 3  # with PostgreSQL's own
    assert not answers(port_of(dsn))
    assert home.left() == []
    assert home.runs() == []


def test_each_has_its_own_empty_one(home):
    with postgres() as first, psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE mine (n int)")
        connection.commit()
        with postgres() as second, psycopg.connect(second) as other:
            assert port_of(first) != port_of(second)
            assert other.execute("SELECT to_regclass('mine')").fetchone() == (None,)


def test_it_ends_under_open_transactions_and_when_the_block_fails(home):
    def fail(dsn):
        connections.append(psycopg.connect(dsn))
        connections[0].execute("SELECT 1")
        raise KeyError

    connections = []
    with pytest.raises(KeyError), postgres() as dsn:
        fail(dsn)
    (connection,) = connections
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
    assert home.left() == []


async def test_the_asynchronous_twin_keeps_the_loop_free_and_uses_no_executor(home):
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticking = asyncio.create_task(tick())
    async with postgres() as dsn:
        ticking.cancel()
        assert ticks > 3  # blocked, it would have been none
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        assert not any("asyncio" in one.name for one in threading.enumerate())
    assert home.left() == []


async def test_a_start_that_is_cancelled_leaves_nothing(home):
    threads = threads_now()
    one = postgres("cancelled")
    starting = asyncio.create_task(one.start_async())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert threads_left(threads) == []
    assert one.dsn == ""
    assert home.left() == []


@pytest.mark.prove
def test_closing_twice_and_starting_again(home):
    one = postgres()
    first = one.start().dsn
    assert one.start().dsn == first
    one.close()
    one.close()
    assert (one.dsn, one.running) == ("", False)
    with one as second:
        one_query(second)


def test_a_server_that_was_killed_is_started_again_by_its_next_use(home):
    one = postgres().start()
    home.servers()[0].kill()
    wait_for(lambda: not one.running)
    assert one.start().running
    one_query(one.dsn)
    assert len(home.runs()) == 1
    one.close()


def test_lessons_can_t_lock_the_kit_out_by_using_up_the_connections(home):
    connections = []
    with postgres() as dsn:

        def use_up():
            while True:
                connections.append(psycopg.connect(dsn))

        with pytest.raises(psycopg.OperationalError, match="remaining connection slots"):
            use_up()
        assert len(connections) >= 90
    for one in connections:
        one.close()


def test_a_stranger_needs_the_password_and_cannot_read_it(home):
    with postgres() as dsn:
        parts = psycopg.conninfo.conninfo_to_dict(dsn)
        for wrong in ("", "wrong"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(**{**parts, "password": wrong}, passfile="/nonexistent")
        word = parts["password"].encode()
        holding = [
            file
            for file in home.folder.rglob("*")
            if file.is_file() and "data" not in file.parts and word in file.read_bytes()
        ]
        assert {file.name for file in holding} == {"made.json", "note.json"}
        assert all(file.stat().st_mode & 0o077 == 0 for file in holding)
        for data in home.folder.rglob("data"):
            assert data.stat().st_mode & 0o077 == 0
        assert parts["password"] not in json.dumps(status())


def test_it_listens_on_this_machine_only_and_its_log_stays_short(home):
    with postgres() as dsn:
        kinds = {one.laddr.ip for one in home.servers()[0].net_connections() if one.laddr}
        assert kinds == {"127.0.0.1"}
        assert not Path(f"/tmp/.s.PGSQL.{port_of(dsn)}").exists()
        log = home.runs()[0] / "log"
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("SET client_min_messages = 'error'")
            connection.execute(
                f"DO $$ BEGIN FOR i IN 1..100 LOOP RAISE LOG '{'x' * 8000}'; END LOOP; END $$"
            )
        wait_for(lambda: log.stat().st_size < 512 << 10)


def test_the_service_of_checks_gives_the_address():
    with SERVICES["postgres"]() as dsn, psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("learner",)


def test_python_of_the_owner_is_not_loaded_with_a_driver():
    code = (
        "import sys\nfrom loopclinic.servers.postgres import postgres\n"
        "with postgres(): print('psycopg' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# Owners that end.


@pytest.mark.prove
def test_eight_owners_at_once_without_a_template(homes, holder):
    home = homes(empty=True)
    owners = [holder() for _ in range(8)]
    dsns = [one.stdout.readline().strip() for one in owners]
    assert all(dsns), [one.stderr.read() for one in owners if one.poll() is not None]
    assert len({port_of(one) for one in dsns}) == 8
    for one in dsns:
        one_query(one)
    assert len(list(home.folder.glob("template-*-*"))) == 1
    assert {one["pid"] for one in status()["servers"]} == {one.pid for one in owners}


def test_a_killed_owner_takes_its_server_with_it_and_no_other(home, holder):
    first, second = holder(), holder()
    dsns = [one.stdout.readline().strip() for one in (first, second)]
    home.family()
    first.kill()
    wait_for(lambda: len(home.servers()) == len(home.runs()) == 1)
    assert answers(port_of(dsns[1]))
    assert not answers(port_of(dsns[0]))
    one_query(dsns[1])
    second.kill()
    home.wait_until_gone()


def test_a_forked_child_of_a_killed_owner_does_not_keep_it(home, holder):
    one = holder(
        "import os, time\n"
        "if not (child := os.fork()): time.sleep(30); os._exit(0)\n"
        "print(child, flush=True)"
    )
    assert one.stdout.readline()
    child = psutil.Process(int(one.stdout.readline()))
    home.family()
    one.kill()
    home.wait_until_gone()  # although the child holds the other end of the keeper's input
    child.kill()


def test_interrupts_and_hangups_pass_it_by(home):
    with postgres() as dsn:
        keeper, server = home.keepers()[0], home.servers()[0]
        assert len({os.getpgid(one) for one in (keeper.pid, server.pid, 0)}) == 3
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(keeper.pid, number)
        one_query(dsn)
        assert home.keepers() == [keeper]


def test_a_killed_keeper_s_server_is_ended_by_the_next_start(home):
    orphan = postgres().start()
    home.family()
    server = home.servers()[0]
    home.keepers()[0].kill()
    wait_for(lambda: not orphan.running)
    assert server.is_running()
    assert not status()["running"]
    with postgres() as dsn:
        one_query(dsn)
        assert (
            server not in home.servers()
        )  # until its parent, this process, asks for its status, it is a zombie
        assert len(home.runs()) == 1
    orphan.close()
    assert not server.is_running()


def test_what_a_reboot_left_is_removed_and_a_stranger_with_its_number_is_left_alone(home):
    left = home.folder / "run-left"
    (left / "data").mkdir(parents=True)
    stranger = subprocess.Popen(["sleep", "30"])
    (left / "data" / "postmaster.pid").write_text(f"{stranger.pid}\n")
    (left / "note.json").write_text(json.dumps({"keeper": stranger.pid, "since": 0}))
    new = home.folder / "run-new"  # another process is just making it
    new.mkdir()
    with postgres():
        assert not left.exists()
        assert new.exists()
        assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


@pytest.mark.parametrize("text", ["[]", '{"keeper": "x"}', "{"])
@pytest.mark.rows(1)
def test_a_note_that_makes_no_sense(home, text):
    (home.folder / "run-odd").mkdir()
    (home.folder / "run-odd" / "note.json").write_text(text)
    assert status() == {"way": None, "running": False, "servers": []}
    with postgres() as dsn:
        one_query(dsn)


# The template.


def break_control(template):
    (template / "data" / "global" / "pg_control").write_bytes(b"\0" * 8192)


def break_roles(template):
    for file in (template / "data" / "global").glob("126?"):
        file.write_bytes(b"\1" * file.stat().st_size)


def lose_database(template):
    for folder in (template / "data" / "base").iterdir():
        for file in folder.iterdir():
            file.unlink()


def lose_password(template):
    (template / "made.json").unlink()


@pytest.mark.parametrize(
    "damage",
    [
        break_control,
        *(
            pytest.param(one, marks=pytest.mark.prove)
            for one in (break_roles, lose_database, lose_password)
        ),
    ],
)
def test_a_damaged_template_is_made_anew(home, damage):
    damage(*home.folder.glob("template-*-*"))
    for _ in range(2):
        with postgres() as dsn:
            one_query(dsn)
    assert len(home.runs()) == 0


def test_a_start_that_fails_says_why_and_what_to_do(homes, monkeypatch, tmp_path):
    home = homes(empty=True)
    monkeypatch.setenv("LOOPCLINIC_POSTGRES", str(tmp_path))
    with pytest.raises(ServerError, match="name a folder that holds postgres and initdb"):
        postgres().start()
    assert home.runs() == []


def test_a_state_folder_that_can_t_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOOPCLINIC_HOME", str(tmp_path / "file"))
    with pytest.raises(ServerError, match="set LOOPCLINIC_HOME"):
        postgres().start()


# A server that is held.


def test_up_holds_one_that_all_use_until_down(home, holder):
    address = up()
    assert up() == address
    owner = holder()
    theirs = owner.stdout.readline().strip()
    with postgres("Sync Database!") as mine:
        assert {port_of(one) for one in (address, theirs, mine)} == {port_of(address)}
        name = psycopg.conninfo.conninfo_to_dict(mine)["dbname"]
        assert name.startswith("loopclinic_sync_database_")
        (server,) = status()["servers"]
        assert server["held"]
        assert name in {one["name"] for one in server["databases"]}
        assert len(down()) == 2
        one_query(mine)
    owner.stdin.close()
    owner.wait()
    home.family()
    assert down() == []
    home.wait_until_gone()
    assert down() is None
    assert not status()["running"]


def test_it_outlives_the_command_that_started_it(home):
    done = subprocess.run(
        [sys.executable, "-m", "loopclinic", "servers", "up", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    time.sleep(0.6)  # longer than its keeper takes to look
    one_query(json.loads(done.stdout)["address"])
    home.family()
    assert down(force=True) == []
    home.wait_until_gone()


def test_removing_its_folder_ends_a_held_server(home):
    up()
    home.family()
    for one in home.runs():
        subprocess.run(["rm", "-r", str(one)], check=True)
    home.wait_until_gone()


def test_force_ends_also_what_others_own(home, holder):
    owner = holder()
    dsn = owner.stdout.readline().strip()
    assert down() is None
    one_query(dsn)
    assert down(force=True) == []
    assert not answers(port_of(dsn))
