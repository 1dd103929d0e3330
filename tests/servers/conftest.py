"""State folders with a PostgreSQL of their own, and a count of what it leaves behind."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from loopclinic.servers.postgres import lease
from loopclinic.servers.postgres_status import down, remove

LINGER = 0.4


class Home:
    """A state folder; knows which processes belong to its server."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path / "postgres"
        self.seen: set[psutil.Process] = set()

    @property
    def state(self) -> dict:
        return json.loads((self.folder / "state.json").read_text())

    def supervisors(self) -> list[psutil.Process]:
        return [one for one in self._processes() if "postgres_supervisor" in _line(one)]

    def servers(self) -> list[psutil.Process]:
        return [one for one in self._processes() if "-D" in _line(one).split()]

    def family(self) -> set[psutil.Process]:
        """The supervisors, the servers and all that they started, remembered for `left`."""
        for one in self._processes():
            self.seen |= {one, *_children(one)}
        return self.seen

    def owners(self) -> set[int]:
        """The users whose processes the family is; connections come and go meanwhile."""
        found = set()
        for one in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                found.add(one.uids().real)
        return found

    def left(self) -> list[str]:
        self.family()
        return [_line(one) for one in self.seen if one.is_running() and _line(one)]

    def wait_until_gone(self, within: float = 8.0) -> None:
        wait_for(lambda: not self.left(), within)
        assert self.left() == []

    def _processes(self) -> list[psutil.Process]:
        return [
            one
            for one in psutil.process_iter()
            # Not the tests' own children, whose code may name the folder.
            if str(self.folder.resolve()) in _line(one) and "HOLDER" not in _line(one)
        ]


def _line(process: psutil.Process) -> str:
    try:
        dead = process.status() == psutil.STATUS_ZOMBIE
        return "" if dead else " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def wait_for(condition, within: float = 8.0) -> None:
    deadline = time.monotonic() + within
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def one_query(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def port_of(dsn: str) -> int:
    return int(psycopg.conninfo.conninfo_to_dict(dsn)["port"])


def knock(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def template():
    """A state folder with a data folder on which no server runs, to be copied."""
    with tempfile.TemporaryDirectory(prefix="loopclinic-test-") as folder:
        Path(folder).chmod(0o711)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LOOPCLINIC_HOME", folder)
            patch.delenv("DATABASE_URL", raising=False)
            with lease("template"):
                pass
            down(force=True)
        yield Path(folder)


@pytest.fixture
def homes(template, monkeypatch):
    """Make state folders; at the end their servers are ended and nothing may be left of them."""
    made: list[Home] = []
    monkeypatch.setenv("LOOPCLINIC_LINGER", str(LINGER))

    def make(*, empty: bool = False) -> Home:
        path = Path(tempfile.mkdtemp(prefix="loopclinic-test-"))
        path.chmod(0o711)
        if not empty:
            # With its owner, who may be another account.
            subprocess.run(["cp", "-a", str(template / "postgres"), str(path)], check=True)
        made.append(Home(path))
        monkeypatch.setenv("LOOPCLINIC_HOME", str(path))
        return made[-1]

    yield make
    for one in made:
        one.family()
        monkeypatch.setenv("LOOPCLINIC_HOME", str(one.path))
        remove()
        one.wait_until_gone()
        assert list(one.path.iterdir()) == []
        shutil.rmtree(one.path)


@pytest.fixture
def home(homes):
    """A state folder with a data folder made already; no server runs on it."""
    return homes()


@pytest.fixture
def shared(session_postgres):
    """The state folder of the session's server, for tests that do it no harm."""
    return Home(session_postgres.parent)


@pytest.fixture
def holder(monkeypatch):
    """Start another process that takes a database and prints its address; it ends with its input."""
    started = []

    def start(code: str = "", *, prefix: tuple[str, ...] = (), **options) -> subprocess.Popen[str]:
        source = (
            "HOLDER = 1\nimport sys\nfrom loopclinic.servers.postgres import postgres, lease\n"
            "database = postgres().start()\nprint(database.dsn, flush=True)\n" + code
        )
        process = subprocess.Popen(
            [*prefix, options.pop("python", sys.executable), "-c", source + "\nsys.stdin.read()\n"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


posix = pytest.mark.skipif(os.name != "posix", reason="signals and accounts of POSIX")
