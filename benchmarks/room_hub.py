"""A room to try: a hub as deploy/jupyterhub has it, a PostgreSQL, a Valkey, a system account for each learner."""

import contextlib
import os
import pwd
import runpy
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis

from loopclinic.servers.postgres.binaries import find_binaries
from loopclinic.servers.valkey import binary

DEPLOYED = Path(__file__).resolve().parents[1] / "deploy" / "jupyterhub"
IDLE = 60
"""Seconds until the hub ends a server that nobody uses; an hour in a real room."""
_PORTS = range(20_000, 32_000)
"""Below those that Linux gives to outgoing connections."""
_TRIAL = """
c = get_config()
c.JupyterHub.services.append({{"name": "trial", "api_token": "{token}"}})
c.JupyterHub.load_roles.append({{
    "name": "trial", "services": ["trial"],
    "scopes": ["admin:users", "admin:servers", "tokens", "access:servers"],
}})
c.JupyterHub.last_activity_interval = 5
c.Spawner.environment.update({{"JUPYTERHUB_ACTIVITY_INTERVAL": "5"}})
"""


@dataclass
class Room:
    """A hub that runs: its address, the token that may do anything, learners' names; the last is facilitator."""

    url: str
    token: str
    learners: list[str]
    postgres: str
    valkey: str
    state: str


@contextlib.contextmanager
def room(learners: int, at_once: int) -> Iterator[Room]:
    """Give a room with so many learners; remove all of it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="loopclinic-room-"))
    folder.chmod(0o711)
    names = [f"roomtrial{number:02}" for number in range(1, learners + 1)]
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        # A copy of what is deployed, for a clone may be closed to other accounts.
        deployed = shutil.copytree(DEPLOYED, folder / "deploy")
        os.chmod(deployed, 0o755)  # noqa: S103, PTH101 - learners' servers start from it
        port, token = _free_port(), secrets.token_hex(16)
        made = Room(
            f"http://127.0.0.1:{port}",
            token,
            names,
            stack.enter_context(postgres_of_room(folder, learners)),
            stack.enter_context(valkey_of_room(folder)),
            str(folder / "state"),
        )
        for name in names:
            stack.enter_context(_account(name, folder))
        extra = folder / "trial.py"
        extra.write_text(_TRIAL.format(token=token))
        given = {
            "LOOPCLINIC_PYTHON": sys.executable,
            "ROOM_PORT": port,
            "ROOM_AT_ONCE": at_once,
            "ROOM_IDLE": IDLE,
            "ROOM_LEARNERS": " ".join(names),
            "ROOM_ADMINS": names[-1],
            "ROOM_STATE": made.state,
            "ROOM_CONFIG": extra,
            "ROOM_SECRET": secrets.token_hex(32),
            "ROOM_DATABASE_URL": made.postgres,
            "ROOM_REDIS_URL": made.valkey,
        }
        environ = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL")}
        environ |= {name: str(value) for name, value in given.items()}
        command = [sys.executable, "-m", "jupyterhub", "-f", str(deployed / "jupyterhub_config.py")]
        log = stack.enter_context((folder / "hub.log").open("wb"))
        hub = stack.enter_context(
            _process(command, cwd=folder, env=environ, stdout=log, stderr=log)
        )
        try:
            for service in ("checks", "room"):
                _until(lambda at=service: _closed(hub, f"{made.url}/services/{at}/"), OSError, 240)
            yield made
        except BaseException:
            said = (folder / "hub.log").read_text(errors="replace").splitlines()
            print(
                *[it for it in said if "[ConfigProxy]" not in it][-60:], sep="\n", file=sys.stderr
            )
            raise


@contextlib.contextmanager
def postgres_of_room(folder: Path, learners: int) -> Iterator[str]:
    """Give the address of a PostgreSQL with connections for so many learners."""
    needed = runpy.run_path(str(DEPLOYED / "room_accounts.py"))
    place, port, secret = folder / "postgres", _free_port(), secrets.token_hex(16)
    binaries = find_binaries(lambda _: folder)
    place.mkdir(mode=0o700)
    given, data = place / "given", str(place / "data")
    given.write_text(secret)
    binaries.account.own(place, given)
    words = ("-U", "room", "-E", "UTF8", "--no-locale", "-A", "scram-sha-256", "--no-sync")
    binaries.run("initdb", "-D", data, *words, f"--pwfile={given}", within=60.0)
    most = learners * needed["CONNECTIONS"] + needed["RESERVED"]
    settings = {"max_connections": most, "unix_socket_directories": "", "fsync": "off"}
    settings |= {"shared_buffers": "64MB", "dynamic_shared_memory_type": "mmap"}
    command = [*binaries.command("postgres"), "-D", data, "-h", "127.0.0.1", "-p", str(port)]
    command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    url = f"postgresql://room:{secret}@127.0.0.1:{port}/postgres"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with _process(command, cwd="/", **quiet, **binaries.account.options):
        _until(lambda: psycopg.connect(url, connect_timeout=2).close(), psycopg.Error, 30)
        yield url


@contextlib.contextmanager
def valkey_of_room(folder: Path) -> Iterator[str]:
    """Give the address of a Valkey with a database a learner."""
    port, secret = _free_port(), secrets.token_hex(16)
    settings = f"bind 127.0.0.1\nport {port}\nrequirepass {secret}\nsave ''\ndatabases 1000\n"
    settings += f"maxmemory 256mb\ndir {folder}\n"
    url = f"redis://:{secret}@127.0.0.1:{port}/0"
    quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL}
    with _process([binary(), "-"], **quiet) as server:
        with server.stdin:
            server.stdin.write(settings.encode())
        _until(lambda: redis.Redis.from_url(url).ping(), redis.RedisError, 10)
        yield url


def processes_of(name: str) -> list[psutil.Process]:
    """Return what runs as this account."""
    number, found = pwd.getpwnam(name).pw_uid, []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == number and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@contextlib.contextmanager
def _account(name: str, folder: Path) -> Iterator[None]:
    home = folder / name
    subprocess.run(["useradd", "-m", "-d", str(home), "-s", "/bin/bash", name], check=True)
    try:
        yield
    finally:
        for process in processes_of(name):
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.2)
        subprocess.run(["userdel", name], check=False, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def _process(command: list[str], **options: Any) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    """Return a port that is free with the four after it."""
    while True:
        first = secrets.choice(_PORTS)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + 5):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


def _closed(hub: subprocess.Popen, service: str) -> None:
    """Return if a service refuses who has no token; OSError if it does not answer yet."""
    if hub.poll() is not None:
        raise RuntimeError("The hub ended.")
    try:
        urllib.request.urlopen(service, timeout=5).close()  # noqa: S310 - the hub's
    except urllib.error.HTTPError as error:
        if error.code != 403:
            raise


def _until(done: Callable[[], Any], errors: type[Exception], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while True:
        try:
            done()
        except errors:
            if time.monotonic() > ends:
                raise
            time.sleep(0.1)
        else:
            return
