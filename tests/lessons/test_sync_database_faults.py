"""Lesson 02 when its database fails, is slow, closed to writing, or shared: the lab is not to blame."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
import pytest

from loopclinic.checks.checking import check_lesson
from loopclinic.lessons import lesson
from loopclinic.lessons.sync_database.observer import Observer
from loopclinic.lessons.sync_database.records import lay_out, named
from loopclinic.lessons.sync_database.slow_line import SlowLine
from loopclinic.servers.postgres import postgres
from tests.servers.test_postgres_foreign import server, use  # noqa: F401 - fixtures

pytestmark = pytest.mark.slow

LESSON = lesson("02")
SOLUTION = Path(__file__).parents[2] / "solutions" / "02_sync_database.py"


@pytest.fixture
def dsn():
    with postgres() as address:
        lay_out(address)
        yield address


@pytest.fixture
def observer(dsn):
    with Observer(dsn) as one:
        yield one


@pytest.fixture
def own_homes():
    """State folders that root's server account may enter, with a server each."""
    with tempfile.TemporaryDirectory(prefix="loopclinic-test-", ignore_cleanup_errors=True) as top:
        Path(top).chmod(0o711)
        homes = [Path(top) / name for name in ("one", "two")]
        for home in homes:
            home.mkdir(mode=0o711)
        yield homes
        for home in homes:
            command = [sys.executable, "-m", "loopclinic", "servers", "down", "--force"]
            environ = {**os.environ, "LOOPCLINIC_HOME": str(home)}
            subprocess.run(command, env=environ, capture_output=True, check=False)


def test_no_server_is_not_the_labs_fault(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:secret@127.0.0.1:{port}/d")
    verdict = check_lesson(LESSON, file=SOLUTION, seed=1)
    assert verdict.status == "could-not-run", str(verdict)
    assert "DATABASE_URL" in str(verdict)
    assert "secret" not in str(verdict)


def test_wrong_password_is_not_the_labs_fault(dsn, monkeypatch):
    parts = urlsplit(dsn)
    wrong = urlunsplit(parts._replace(netloc=f"{parts.username}:wrong@127.0.0.1:{parts.port}"))
    monkeypatch.setenv("DATABASE_URL", wrong)
    verdict = check_lesson(LESSON, file=SOLUTION, seed=1)
    assert verdict.status == "could-not-run", str(verdict)
    assert "password" in str(verdict)


def test_slow_database_with_leftover_connections_is_judged_alike(dsn, observer, monkeypatch):
    left = [psycopg.connect(named(dsn, "left over")) for _ in range(30)]
    databases = "select count(*) from pg_database"
    before = observer.rows(databases)
    try:
        with SlowLine(dsn, there_and_back=0.01) as slow:
            monkeypatch.setenv("DATABASE_URL", slow)
            verdict = check_lesson(LESSON, file=SOLUTION, seed=1)
        assert verdict.passed, str(verdict)
        assert len(observer.sessions("left over")) == len(left)
    finally:
        for connection in left:
            connection.close()
    assert observer.rows(databases) == before


def test_a_server_killed_in_the_middle_is_not_the_labs_fault(own_homes, monkeypatch):
    home = own_homes[0]
    monkeypatch.setenv("LOOPCLINIC_HOME", str(home))
    killed = []

    def kill(step: str) -> None:
        if killed or not step.startswith("10 audits"):
            return
        for one in psutil.process_iter(["cmdline"]):
            line = one.info["cmdline"] or []
            if "-D" in line and any(str(home) in part for part in line):
                one.kill()
                killed.append(one.pid)

    verdict = check_lesson(LESSON, file=SOLUTION, seed=1, on_step=kill)
    assert killed
    assert verdict.status == "could-not-run", str(verdict)
    assert "PostgreSQL went away" in str(verdict)
    assert "loopclinic itself failed" not in str(verdict)


def test_a_database_closed_to_writing_is_not_the_labs_fault(server, use):  # noqa: F811
    use(server.of("timid"))
    verdict = check_lesson(LESSON, file=SOLUTION, seed=1)
    assert verdict.status == "could-not-run", str(verdict)
    assert "read-only" in str(verdict)


def test_a_schema_is_enough(server, use):  # noqa: F811
    use(server.of("modest"))
    verdict = check_lesson(LESSON, file=SOLUTION, seed=1)
    assert verdict.passed, str(verdict)
    assert server.ours() == []


def test_two_learners_on_one_machine_at_once(own_homes):
    command = [sys.executable, "-m", "loopclinic", "check", "02", "--solution", "--json"]
    checks = [
        subprocess.Popen(
            command,
            env={**os.environ, "LOOPCLINIC_HOME": str(home)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for home in own_homes
    ]
    for check in checks:
        said, _ = check.communicate(timeout=60)
        assert json.loads(said)["passed"], said
