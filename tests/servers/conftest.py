"""State folders of PostgreSQL, and a count of what is left of its servers."""

import contextlib
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

from loopclinic.servers.postgres import down, postgres, remove, server, up


class Home:
    """A state folder; knows which processes belong to its servers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path / "postgres"
        self.seen: set[psutil.Process] = set()

    def keepers(self) -> list[psutil.Process]:
        return [one for one in self._processes() if "keeper.py" in _line(one)]

    def servers(self) -> list[psutil.Process]:
        return [one for one in self._processes() if "-D" in _line(one).split()]

    def runs(self) -> list[Path]:
        return list(self.folder.glob("run-*"))

    def family(self) -> set[psutil.Process]:
        """The keepers, the servers and all that they started, remembered for `left`."""
        for one in self._processes():
            self.seen.add(one)
            with contextlib.suppress(psutil.Error):
                self.seen.update(one.children(recursive=True))
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
        wait_for(lambda: not self.left() and not self.runs(), within)

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


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def session_template(session_postgres):
    """The folder with the templates of the session, to be copied and harmed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOPCLINIC_HOME", str(session_postgres.parent))
        patch.delenv("DATABASE_URL", raising=False)
        postgres().start().close()
        up()
        down()
    yield session_postgres
    for one in server._HELD:  # what outlives a program is not waited for by it, but by us
        one.close()


@pytest.fixture
def homes(session_template, monkeypatch):
    """Make state folders; at the end nothing may be left of their servers."""
    made: list[Home] = []

    def make(*, empty: bool = False) -> Home:
        path = Path(tempfile.mkdtemp(prefix="loopclinic-test-"))
        path.chmod(0o711)
        if not empty:
            (path / "postgres").mkdir(mode=0o711)
            # With its owner, who may be another account.
            templates = map(str, session_template.glob("template-*-*"))
            subprocess.run(["cp", "-a", *templates, str(path / "postgres")], check=True)
        made.append(Home(path))
        monkeypatch.setenv("LOOPCLINIC_HOME", str(path))
        return made[-1]

    yield make
    for one in made:
        monkeypatch.setenv("LOOPCLINIC_HOME", str(one.path))
        remove()
        assert one.left() == []
        assert list(one.path.iterdir()) == []
        shutil.rmtree(one.path)


@pytest.fixture
def home(homes):
    """A state folder with a template made already; no server runs."""
    return homes()


@pytest.fixture
def holder():
    """Start another process that starts a server and prints its address; it ends with its input."""
    started = []

    def start(code: str = "", *, prefix: tuple[str, ...] = (), **options) -> subprocess.Popen[str]:
        source = (
            "HOLDER = 1\nimport sys\nfrom loopclinic.servers.postgres import postgres\n"
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
