"""One server for all who hold a lease, and none afterwards, however they end."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from loopclinic.servers.postgres import ServerError, lease, postgres
from loopclinic.servers.postgres_status import down, status, up

from .conftest import LINGER, knock, one_query, port_of, posix, wait_for

pytestmark = posix


def test_it_starts_with_the_first_lease_and_ends_after_the_last(home):
    with postgres() as dsn:
        one_query(dsn)
        port = port_of(dsn)
        family = home.family()
        assert len(home.supervisors()) == len(home.servers()) == 1
        assert len(family) > 3  # with the shell that ties them, and PostgreSQL's own
    began = time.monotonic()
    assert knock(port)
    home.wait_until_gone()
    assert time.monotonic() - began >= LINGER * 0.9
    assert not knock(port)
    assert not (home.folder / "state.json").exists()
    assert not (home.folder / "data-15" / "postmaster.pid").exists()


def test_it_is_nobody_s_child(shared):
    before = set(psutil.Process().children(recursive=True))
    with lease("test"):
        assert set(psutil.Process().children(recursive=True)) == before
        assert os.getsid(shared.supervisors()[0].pid) != os.getsid(0)


def test_two_clients_share_one_server_and_it_outlives_the_first(home, holder):
    first, second = holder(), holder()
    dsns = [one.stdout.readline().strip() for one in (first, second)]
    assert port_of(dsns[0]) == port_of(dsns[1])
    assert len(home.supervisors()) == len(home.servers()) == 1
    assert len(status()["leases"]) == 2
    first.kill()
    wait_for(lambda: len(status()["leases"]) == 1)
    time.sleep(LINGER * 2)
    one_query(dsns[1])
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        one_query(dsns[0])  # dropped although its holder was killed
    home.family()
    second.kill()
    home.wait_until_gone()


def test_eight_starters_at_once_get_one_server(home, holder):
    starters = [holder() for _ in range(8)]
    dsns = [one.stdout.readline().strip() for one in starters]
    assert all(dsns), [one.stderr.read() for one in starters if one.poll() is not None]
    assert len({port_of(one) for one in dsns}) == 1
    assert len(set(dsns)) == 8
    assert len(home.supervisors()) == len(home.servers()) == 1
    for one in dsns:
        one_query(one)


def test_interrupts_and_hangups_pass_it_by(shared):
    with postgres() as dsn:
        supervisor, server = shared.supervisors()[0], shared.servers()[0]
        assert os.getpgid(server.pid) != os.getpgid(supervisor.pid) != os.getpgrp()
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(supervisor.pid, number)
        time.sleep(0.2)
        one_query(dsn)
        assert shared.supervisors() == [supervisor]


def test_a_new_lease_within_the_linger_finds_the_server_still_there(home):
    with lease("first") as held:
        port = held.where["port"]
        pid = home.state["pid"]
    with lease("second") as held:
        assert (held.where["port"], home.state["pid"]) == (port, pid)
        time.sleep(LINGER * 2)
        assert knock(port)


def test_up_holds_it_until_down(home):
    up().close()
    time.sleep(LINGER * 3)
    found = status()
    assert found["running"]
    assert found["kept"]
    assert found["leases"] == []
    home.family()
    began = time.monotonic()
    assert down() == []
    assert time.monotonic() - began < 2
    home.wait_until_gone(0.5)
    assert down() is None
    assert status() == {"running": False}


def test_down_leaves_it_to_those_who_use_it_unless_forced(home, holder):
    one = holder()
    dsn = one.stdout.readline().strip()
    assert [user["pid"] for user in down()] == [one.pid]
    one_query(dsn)
    assert down(force=True) == []
    assert not knock(port_of(dsn))


def test_a_holder_learns_that_the_server_was_ended(home):
    held = lease("test").start()
    down(force=True)
    with pytest.raises(ServerError, match="was ended"):
        held.create("loopclinic_x")
    held.close()
    database_after = postgres()
    with database_after as dsn:  # a new lease starts a new one
        one_query(dsn)


def test_strangers_at_the_door_are_sent_away(shared):
    with lease("test"):
        state = shared.state
        for line in (b"nonsense\n", b"{}\n", b'{"token": "guess", "pid": 1, "label": ""}\n', b"\n"):
            with socket.create_connection(("127.0.0.1", state["door"])) as stranger:
                stranger.sendall(line)
                assert stranger.recv(100) == b""
        assert len(status()["leases"]) == 1


def test_two_state_folders_have_two_servers(homes):
    first = homes()
    with postgres() as one:
        second = homes()
        with postgres() as other:
            assert port_of(one) != port_of(other)
            for home in (first, second):
                assert len(home.servers()) == 1
            one_query(one)
            one_query(other)


def test_whoever_removes_the_state_folder_ends_the_server(home):
    with lease("test") as held:
        home.family()
        (home.folder / "state.json").unlink()
        wait_for(lambda: not knock(held.where["port"]))
    home.wait_until_gone()
    assert not home.servers()


def test_the_log_and_the_sockets_stay_within_bounds(shared):
    with postgres() as dsn:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("SET client_min_messages = 'error'")
            big = "x" * 8000
            for _ in range(8):
                connection.execute(
                    f"DO $$ BEGIN FOR i IN 1..20 LOOP RAISE LOG '{big}'; END LOOP; END $$"
                )
        wait_for((shared.folder / "server.log.1").exists)
        files = list(shared.folder.glob("server.log*"))
        assert sum(one.stat().st_size for one in files) < 3 << 19
        assert not Path(f"/tmp/.s.PGSQL.{port_of(dsn)}").exists()
        kinds = {one.laddr.ip for one in shared.servers()[0].net_connections() if one.laddr}
        assert kinds == {"127.0.0.1"}


def test_a_start_that_fails_says_why_and_what_to_do(homes, monkeypatch, tmp_path):
    homes(empty=True)
    monkeypatch.setenv("LOOPCLINIC_POSTGRES", str(tmp_path))
    with pytest.raises(ServerError, match="name a folder that holds postgres and initdb"):
        lease("test").start()
    monkeypatch.delenv("LOOPCLINIC_POSTGRES")
    monkeypatch.setenv("LOOPCLINIC_LINGER", "soon")
    with pytest.raises(ServerError, match="set it to seconds"):
        lease("test").start()


def test_a_state_folder_that_can_t_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LOOPCLINIC_HOME", str(tmp_path / "file"))
    with pytest.raises(Exception, match="set LOOPCLINIC_HOME"):
        lease("test").start()


def test_a_supervisor_that_is_told_to_end_does(home):
    with lease("test"):
        home.family()
        home.supervisors()[0].terminate()
        home.wait_until_gone(4)  # the lease is still held
        assert not home.servers()


def test_a_forked_grandchild_of_a_killed_kernel_does_not_matter(home, holder):
    one = holder(
        "import subprocess\nchild = subprocess.Popen(['sleep', '30'])\nprint(child.pid, flush=True)"
    )
    assert one.stdout.readline()
    child = psutil.Process(int(one.stdout.readline()))
    home.family()
    one.kill()
    home.wait_until_gone()  # it did not inherit the lease
    child.kill()


def test_python_of_the_holder_is_not_loaded_with_a_driver(shared):
    code = (
        "HOLDER = 1\nimport sys\nfrom loopclinic.servers.postgres import postgres\n"
        "with postgres(): print('psycopg' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
