"""Servers, supervisors, states and data folders that were killed, orphaned or damaged: the next lease works."""

import json
import os
import socket

import psutil
import psycopg
import pytest

from loopclinic.servers.postgres import lease, postgres
from loopclinic.servers.postgres_status import status

from .conftest import knock, one_query, port_of, posix, wait_for

pytestmark = posix


def test_a_killed_server_is_back_on_its_port_with_its_data(home):
    with postgres() as dsn:
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE kept (n int)")
        home.family()
        first = home.servers()[0]
        first.kill()
        with postgres() as other:  # at once
            one_query(other)

        def answers() -> bool:
            try:
                one_query(dsn)
            except psycopg.OperationalError:
                return False
            return home.servers() != [first]

        wait_for(answers)
        with psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_killed_supervisor_takes_the_server_with_it_and_the_next_starts_anew(home):
    orphan = postgres().start()
    home.family()
    server = home.servers()[0]
    home.supervisors()[0].kill()
    psutil.wait_procs([server], timeout=5)
    assert home.servers() == []
    assert (home.folder / "state.json").exists()  # stale
    assert status() == {"running": False}
    with postgres() as dsn:
        one_query(dsn)
        names = [found["name"] for found in status()["databases"]]
        assert len(names) == 1
        assert orphan.name not in names
    orphan.close()


def test_a_supervisor_and_a_server_killed_together_leave_no_trouble(home, capfd):
    """As after a reboot: the lock file of the data folder names a process that is another's."""
    with lease("test"):
        home.family()
        server = home.servers()[0]
        lock = next(home.folder.glob("data-*/postmaster.pid"))
        text = lock.read_text()
        for one in (home.supervisors()[0], server):
            one.kill()
        psutil.wait_procs([server], timeout=5)
    lock.write_text(text.replace(str(server.pid), str(os.getpid()), 1))
    with postgres() as dsn:
        one_query(dsn)
    assert "damaged" not in capfd.readouterr().err


def test_an_orphaned_server_is_ended_first(home):
    with lease("test"):
        home.family()
        ties = [one for one in home.supervisors()[0].children() if one.name() == "sh"]
        assert len(ties) == 1
        ties[0].kill()
        server = home.servers()[0]
        home.supervisors()[0].kill()
    assert server.is_running()
    with postgres() as dsn:
        one_query(dsn)
        assert not server.is_running()
        assert len(home.servers()) == 1


def test_a_stale_state_whose_port_is_somebody_else_s(home):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        stale = {"pid": os.getpid(), "door": port, "token": "x", "port": port, "password": "x"}
        (home.folder / "state.json").write_text(json.dumps(stale))
        with postgres() as dsn:  # the stranger takes the connection and says nothing
            one_query(dsn)
            assert port_of(dsn) != port


@pytest.mark.parametrize("text", ["[]", '{"door": "x"}'])
def test_a_state_file_that_makes_no_sense(home, text):
    (home.folder / "state.json").write_text(text)
    with lease("test") as held:
        assert knock(held.where["port"])


def break_control(data):
    (data / "global" / "pg_control").write_bytes(b"\0" * 8192)


def break_template(data):
    """The server starts, but can't copy template0."""
    folder = min((data / "base").iterdir(), key=lambda one: (int(one.name) != 4, int(one.name)))
    for file in folder.iterdir():
        file.unlink()


def break_roles(data):
    for file in (data / "global").glob("126?"):
        file.write_bytes(b"\1" * file.stat().st_size)


def lose_password(data):
    (data.parent / "password").unlink()


@pytest.mark.parametrize("damage", [break_control, break_template, break_roles, lose_password])
def test_a_damaged_data_folder_is_made_anew_in_one_sentence(home, damage, capfd):
    damage(next(home.folder.glob("data-*")))
    with postgres() as dsn:
        one_query(dsn)
    said = capfd.readouterr().err.strip()
    assert said.startswith("PostgreSQL's data folder was damaged and was made anew")
    assert "\n" not in said
    with postgres() as dsn:
        one_query(dsn)
    assert capfd.readouterr().err == ""
