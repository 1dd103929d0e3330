"""The one process of a user that keeps PostgreSQL while anybody holds a lease on it.

A lease is a connection to this process, so it ends with its holder, however that ends. Some seconds
after the last one the server is stopped and this process ends. It stands in a session of its own: an
interrupt or the restart of a kernel passes it by. Lines of JSON go over the connection: first the
token, answered by where the server is; then requests, each answered by one line.
"""

import contextlib
import hmac
import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from loopclinic.servers.postgres_binaries import find_binaries
from loopclinic.servers.postgres_cluster import Cluster
from loopclinic.servers.postgres_folder import (
    ADMIN,
    DataFolder,
    address,
    place_for,
    private,
)
from loopclinic.servers.process import ServerError

__all__ = ["main"]

_HANDSHAKE = 2.0
_PERIOD = 1.0
_LOCK_WAIT = 15.0
_DEATHS = 5
_DEATHS_WITHIN = 60.0


@dataclass(slots=True)
class _Holder:
    """One lease: the process that holds it, since when, and the databases that are its own."""

    connection: socket.socket
    pid: int
    label: str
    since: float = field(default_factory=time.time)
    databases: set[str] = field(default_factory=set)


class _Supervisor:
    def __init__(self, state: Path, linger: float) -> None:
        self._state = state
        self._file = state / "state.json"
        self._linger = linger
        self._token = secrets.token_urlsafe(24)
        self._news = threading.Condition()
        self._holders: list[_Holder] = []
        self._idle_since = time.monotonic()
        self._kept = False
        self._ending = False
        self._notice: str | None = None
        self._deaths: list[float] = []
        self._started = time.time()
        self._binaries = find_binaries(lambda account: place_for(account, state))
        place = place_for(self._binaries.account, state)
        self._data = DataFolder(self._binaries, place, state / "password")
        self._cluster = Cluster(self._data, state / "server.log")
        self._databases: Any = None

    def start(self) -> str | None:
        """Start the server, open the door, and return what its user should be told."""
        importing = threading.Thread(target=self._open_databases)
        importing.start()
        self._notice = self._cluster.start()
        importing.join()
        self._watch()
        self._door = socket.create_server(("127.0.0.1", 0), backlog=64)
        threading.Thread(target=self._welcome, daemon=True).start()
        self._write_state()
        return self._notice

    def run(self) -> None:
        """Return when nobody has held a lease for a while, when told to, or when it can't go on."""
        with self._news:
            while not self._is_over():
                self._news.wait(min(_PERIOD, max(self._linger, 0.01)))

    def end(self) -> None:
        """Close the door and every lease, and stop the server."""
        with self._news:
            self._ending = True
            holders = list(self._holders)
        if self._is_mine():
            self._file.unlink(missing_ok=True)
        self._door.close()
        for holder in holders:
            _hang_up(holder.connection)
        self._cluster.stop()

    def _is_over(self) -> bool:
        if self._ending:
            return True
        # Whoever removes the state folder means the server, too.
        if not self._is_mine():
            return True
        idle = not self._holders and not self._kept
        return idle and time.monotonic() - self._idle_since >= self._linger

    def _is_mine(self) -> bool:
        try:
            found = json.loads(self._file.read_text("utf-8"))
        except (OSError, ValueError):
            return False
        return bool(found.get("pid") == os.getpid())

    def _write_state(self) -> None:
        state = {
            "pid": os.getpid(),
            "door": self._door.getsockname()[1],
            "token": self._token,
            **self._whereabouts(),
        }
        private(self._file, json.dumps(state))

    def _whereabouts(self) -> dict[str, Any]:
        return {
            "port": self._cluster.port,
            "password": self._data.password,
            "way": self._binaries.way,
            "version": self._binaries.version,
            "binaries": str(self._binaries.folder),
            "data": str(self._data.path),
            "account": self._binaries.account.name,
            "started": self._started,
        }

    # The databases on it

    def _open_databases(self) -> None:
        # The driver takes a while to import; meanwhile initdb or the server takes its own.
        from loopclinic.servers.postgres_databases import Databases  # noqa: PLC0415

        self._databases = Databases(self._admin_address, self._owned, self._remake)

    def _admin_address(self) -> str:
        with self._news:  # not while the server is being restarted
            return address(self._whereabouts(), "postgres", role=ADMIN)

    def _owned(self) -> set[str]:
        with self._news:
            return set().union(*(one.databases for one in self._holders))

    def _remake(self) -> None:
        with self._news:
            self._deaths.clear()
            self._revive(self._cluster.remake)

    def _create(self, holder: _Holder, name: str) -> tuple[dict[str, Any], str | None]:
        with self._news:
            holder.databases.add(name)
        self._databases.create(name)
        with self._news:
            return self._whereabouts(), self._notice

    def _drop(self, holder: _Holder, name: str) -> None:
        self._databases.drop(name)
        with self._news:
            holder.databases.discard(name)

    # The server's own death

    def _watch(self) -> None:
        threading.Thread(
            target=self._wait_for_death, args=(self._cluster.process,), daemon=True
        ).start()

    def _wait_for_death(self, process: Any) -> None:
        process.wait()
        with self._news:
            if self._ending or self._cluster.process is not process:
                return  # it was stopped on purpose
            now = time.monotonic()
            self._deaths = [one for one in self._deaths if now - one < _DEATHS_WITHIN] + [now]
            if len(self._deaths) > _DEATHS:
                self._ending = True
            else:
                self._revive(self._cluster.restart)
            self._news.notify_all()

    def _revive(self, how: Callable[[], str | None]) -> None:
        try:
            self._notice = how() or self._notice
        except (ServerError, OSError) as error:
            print(error, file=sys.stderr, flush=True)
            self._ending = True
            return
        self._write_state()
        self._watch()

    # Those who hold leases

    def _welcome(self) -> None:
        with contextlib.suppress(OSError):  # the door was closed
            while True:
                connection, _ = self._door.accept()
                threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            connection.settimeout(_HANDSHAKE)
            lines = connection.makefile("rb")
            hello = json.loads(lines.readline(4096))
            if not hmac.compare_digest(str(hello["token"]), self._token):
                return
            connection.settimeout(None)
            holder = _Holder(connection, int(hello["pid"]), str(hello["label"]))
            with self._news:
                if self._ending:
                    return
                if hello["lease"]:
                    self._holders.append(holder)
            try:
                _say(connection, self._greeting())
                for line in lines:
                    _say(connection, self._answer(holder, json.loads(line)))
            finally:
                self._databases.drop(*holder.databases)
                with self._news:
                    if holder in self._holders:
                        self._holders.remove(holder)
                        self._idle_since = time.monotonic()
                    self._news.notify_all()

    def _greeting(self) -> dict[str, Any]:
        with self._news:  # not while the server is being restarted
            return self._whereabouts()

    def _answer(self, holder: _Holder, request: dict[str, Any]) -> dict[str, Any]:
        try:
            match request:
                case {"do": "create", "name": str(name)}:
                    return {"value": self._create(holder, name)}
                case {"do": "drop", "name": str(name)}:
                    return {"value": self._drop(holder, name)}
                case {"do": "status"}:
                    return {"value": self._status()}
                case {"do": "keep"}:
                    return {"value": self._keep()}
                case {"do": "down", "force": bool(force)}:
                    return {"value": self._down(force=force)}
        except ServerError as error:
            return {"error": str(error), "detail": error.detail}
        return {"error": f"PostgreSQL's supervisor knows no {request}.", "detail": ""}

    def _keep(self) -> None:
        with self._news:
            self._kept = True

    def _down(self, *, force: bool) -> bool:
        """Let go what `keep` holds; tell whether the server ends now."""
        with self._news:
            self._kept = False
            self._ending = force or not self._holders
            self._news.notify_all()
            return self._ending

    def _status(self) -> dict[str, Any]:
        databases = self._databases.describe()
        with self._news:
            leases = [
                {
                    "pid": one.pid,
                    "label": one.label,
                    "seconds": time.time() - one.since,
                    "databases": sorted(one.databases),
                }
                for one in self._holders
            ]
            return {
                **self._whereabouts(),
                "pid": os.getpid(),
                "kept": self._kept,
                "linger": self._linger,
                "notice": self._notice,
                "leases": leases,
                "databases": databases,
            }


def _say(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def main(folder: str, linger: float) -> None:
    """Serve leases on the state folder `folder`; report readiness or failure on standard output."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    os.umask(0o077)
    state = Path(folder)
    lock = FileLock(state / "running.lock")
    try:
        # One that is just ending still holds it.
        lock.acquire(timeout=_LOCK_WAIT)
        supervisor = _Supervisor(state, linger)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        notice = supervisor.start()
    except (ServerError, OSError, Timeout) as error:
        detail = getattr(error, "detail", "")
        print(json.dumps({"failed": str(error), "detail": detail}), flush=True)
        sys.exit(1)
    print(json.dumps({"notice": notice}), flush=True)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)  # the starter reads until here
    try:
        supervisor.run()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        supervisor.end()
        lock.release()
