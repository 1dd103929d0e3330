"""Lessons with a database that fails, is slow, closed to writing, or shared: no lab is to blame."""

import json
import os
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
import pytest

from loopclinic.checks import check_lesson
from loopclinic.checks.lab_files import solution_path
from loopclinic.checks.trial_processes import Limits
from loopclinic.lessons import lesson
from loopclinic.lessons.database.sessions import SessionMonitor, named
from loopclinic.servers.postgres import postgres
from loopclinic.servers.slow_proxy import SlowLine
from loopclinic.verdict import Verdict
from tests.alone import known
from tests.servers.test_postgres_database_url import server, use  # noqa: F401 - fixtures

pytestmark = [pytest.mark.prove, pytest.mark.timeout(300)]


@pytest.fixture(params=["02", "03"])
def one(request):
    return lesson(request.param)


@pytest.fixture
def dsn():
    with postgres() as address:
        yield address


@pytest.fixture
def read_only_server(server):  # noqa: F811
    """The user's server while whoever runs it lets nobody write."""

    def until(value):
        ends = time.monotonic() + 5
        while server.execute("SHOW default_transaction_read_only") != [(value,)]:
            assert time.monotonic() < ends
            time.sleep(0.02)

    server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    server.execute("SELECT pg_reload_conf()")
    until("on")
    yield server
    server.execute("ALTER SYSTEM RESET default_transaction_read_only")
    server.execute("SELECT pg_reload_conf()")
    until("off")


def check_solution(one, **options):
    # Other checks are about time: here a busy machine gets as much as it needs.
    limits = Limits(seconds=60)
    return known(check_lesson(one, file=solution_path(one), seed=1, limits=limits, **options))


def test_no_server(one, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:secret@127.0.0.1:{port}/d")
    verdict = check_solution(one)
    assert verdict.status == "could-not-run", str(verdict)
    assert "DATABASE_URL" in str(verdict)
    assert "secret" not in str(verdict)


def test_a_wrong_password(one, dsn, monkeypatch):
    parts = urlsplit(dsn)
    wrong = urlunsplit(parts._replace(netloc=f"{parts.username}:wrong@127.0.0.1:{parts.port}"))
    monkeypatch.setenv("DATABASE_URL", wrong)
    verdict = check_solution(one)
    assert verdict.status == "could-not-run", str(verdict)
    assert "correct the user and password in DATABASE_URL" in str(verdict)


def test_a_role_that_may_only_read(one, server, use):  # noqa: F811
    use(server.of("timid"))
    verdict = check_solution(one)
    assert verdict.status == "could-not-run", str(verdict)
    assert "is read-only, and lessons write: name one that can be written" in str(verdict)


def test_a_server_that_is_closed_to_writing(one, read_only_server, use):  # noqa: F811
    use(read_only_server.of("maker"))
    verdict = check_solution(one)
    assert verdict.status == "could-not-run", str(verdict)
    assert "is read-only, and lessons write: name one that can be written" in str(verdict)


@pytest.mark.parametrize(
    ("number", "step"),
    [
        ("02", "10 audits"),
        ("03", "starting the server"),
        ("03", "a database that stands still"),
        ("03", "SIGTERM"),
    ],
)
def test_a_server_that_dies_in_the_middle(number, step, own_homes, monkeypatch):
    home = own_homes[0]
    monkeypatch.setenv("LOOPCLINIC_HOME", str(home))
    killed = []

    def kill(now: str) -> None:
        if killed or not now.startswith(step):
            return
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if "-D" in line and any(str(home) in part for part in line):
                process.kill()
                killed.append(process.pid)

    verdict = check_solution(lesson(number), on_step=kill)
    assert killed, str(verdict)
    assert verdict.status == "could-not-run", str(verdict)
    assert "PostgreSQL went away" in str(verdict)
    assert "the kit restarts its servers" in str(verdict)


def test_leftover_connections_are_in_nobodys_way(one, dsn, monkeypatch):
    left = [psycopg.connect(named(dsn, "left over")) for _ in range(30)]
    databases = "select count(*) from pg_database"
    with SessionMonitor(dsn, "test") as monitor:
        before = monitor.rows(databases)
        try:
            monkeypatch.setenv("DATABASE_URL", dsn)
            verdict = check_solution(one)
            assert verdict.passed, str(verdict)
            assert all(not connection.closed for connection in left)
            assert len([connection.execute("select 1") for connection in left]) == 30
        finally:
            for connection in left:
                connection.close()
        assert monitor.rows(databases) == before


def test_a_slow_database_is_judged_alike(dsn, monkeypatch):
    with SlowLine(dsn, there_and_back=0.01) as slow:
        monkeypatch.setenv("DATABASE_URL", slow)
        verdict = check_solution(lesson("02"))
    assert verdict.passed, str(verdict)


def test_a_schema_is_enough(one, server, use):  # noqa: F811
    use(server.of("modest"))
    verdict = check_solution(one)
    assert verdict.passed, str(verdict)
    assert server.ours() == []


def test_two_learners_on_one_machine_at_once(one, own_homes):
    command = [sys.executable, "-m", "loopclinic", "check", one.number, "--solution", "--json"]
    checks = [
        subprocess.Popen(
            command,
            env={**os.environ, "LOOPCLINIC_HOME": str(home)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for home in own_homes
    ]
    verdicts = [
        known(Verdict.from_dict(json.loads(check.communicate(timeout=60)[0]))) for check in checks
    ]
    assert all(verdict.passed for verdict in verdicts), verdicts
