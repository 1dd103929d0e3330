"""The one process of a user that keeps PostgreSQL while anybody holds a lease on it.

Some seconds after the last lease the server is stopped and this process ends. It stands in a session
of its own: an interrupt or the restart of a kernel passes it by.
"""

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from loopclinic.servers.postgres_binaries import find_binaries
from loopclinic.servers.postgres_cluster import Cluster
from loopclinic.servers.postgres_door import Door, Holder
from loopclinic.servers.postgres_folder import ADMIN, DataFolder, address, place_for, private
from loopclinic.servers.process import ServerError

if TYPE_CHECKING:
    from loopclinic.servers.postgres_databases import Databases

__all__ = ["main"]

_PERIOD = 1.0
_FIRST_LEASE = 10.0
_LOCK_WAIT = 15.0
_DEATHS = 5
_DEATHS_WITHIN = 60.0


class _Supervisor:
    """The server, its databases, and the door; `_news` guards all that changes."""

    _databases: "Databases"

    def __init__(self, state: Path, linger: float) -> None:
        self._file = state / "state.json"
        self._linger = linger
        self._news = threading.Condition()
        self._kept = False
        self._ending = False
        self._notice: str | None = None
        self._deaths: list[float] = []
        self._where: dict[str, Any] = {}
        self._binaries = find_binaries(lambda account: place_for(account, state))
        place = place_for(self._binaries.account, state)
        self._data = DataFolder(self._binaries, place, state / "password")
        self._cluster = Cluster(self._data, state / "server.log")
        self._door = Door(self._news, self._greet, self._answer, self._leave)
        self._started = time.time()

    def start(self) -> str | None:
        """Start the server, open the door, and return what its user should be told."""
        importing = threading.Thread(target=self._open_databases)
        importing.start()
        self._notice = self._cluster.start()
        importing.join()
        self._watch()
        # On a busy machine it may be a while until the starter takes the first lease.
        self._door.empty_since = time.monotonic() + _FIRST_LEASE
        self._door.open()
        self._publish()
        return self._notice

    def run(self) -> None:
        """Return when nobody has held a lease for a while, when told to, or when it can't go on."""
        with self._news:
            while not self._is_over():
                self._news.wait(min(_PERIOD, max(self._linger, 0.01)))
            self._door.closed = True

    def end(self) -> None:
        """Close the door on everybody, and stop the server."""
        with self._news:
            self._ending = True
        if self._is_mine():
            self._file.unlink(missing_ok=True)
        self._door.close()
        self._cluster.stop()
        if not self._file.parent.exists():
            # Removed with the state folder's owner; what lies elsewhere would be found by nobody.
            shutil.rmtree(self._data.path.parent, ignore_errors=True)

    def _is_over(self) -> bool:
        # Whoever removes the state folder means the server, too.
        if self._ending or not self._is_mine():
            return True
        idle = not self._door.holders and not self._kept
        return idle and time.monotonic() - self._door.empty_since >= self._linger

    def _is_mine(self) -> bool:
        try:
            found = json.loads(self._file.read_text("utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(found, dict) and found.get("pid") == os.getpid()

    def _publish(self) -> None:
        """Write down where the server is; whoever reads the file may knock at the door."""
        self._where = {
            "port": self._cluster.port,
            "password": self._data.password,
            "way": self._binaries.way,
            "version": self._binaries.version,
            "binaries": str(self._binaries.folder),
            "data": str(self._data.path),
            "account": self._binaries.account.name,
            "started": self._started,
        }
        door = {"pid": os.getpid(), "door": self._door.port, "token": self._door.token}
        private(self._file, json.dumps(door | self._where))

    # The databases on it

    def _open_databases(self) -> None:
        # The driver takes a while to import; initdb or the server takes its own while meanwhile.
        from loopclinic.servers.postgres_databases import Databases  # noqa: PLC0415

        self._databases = Databases(self._address, self._owned, self._remake)

    def _address(self, database: str | None = None) -> str:
        where = self._greet()
        return address(where, database) if database else address(where, "postgres", role=ADMIN)

    def _owned(self) -> set[str]:
        with self._news:
            return set().union(*(one.databases for one in self._door.holders))

    def _remake(self) -> None:
        with self._news:
            self._deaths.clear()
            self._revive(self._cluster.remake)

    # The server's own death

    def _watch(self) -> None:
        threading.Thread(target=self._wait_for_death, daemon=True).start()

    def _wait_for_death(self) -> None:
        process = self._cluster.process
        if process is not None:
            process.wait()
        with self._news:
            if self._ending or self._cluster.process is not process:
                return  # it was stopped on purpose
            now = time.monotonic()
            self._deaths = [one for one in self._deaths if now - one < _DEATHS_WITHIN] + [now]
            if len(self._deaths) > _DEATHS:
                self._give_up(f"PostgreSQL died {_DEATHS} times within {_DEATHS_WITHIN:g} s.")
            else:
                self._revive(self._cluster.restart)

    def _revive(self, how: Callable[[], str | None]) -> None:
        try:
            notice = how()
        except (ServerError, OSError) as error:
            self._give_up(str(error))
            return
        if notice:
            self._notice = notice
            for holder in self._door.holders:
                holder.notice = notice
        self._publish()
        self._watch()

    def _give_up(self, why: str) -> None:
        print(why, file=sys.stderr, flush=True)
        self._ending = True
        self._news.notify_all()

    # What holders of leases ask for

    def _greet(self) -> dict[str, Any]:
        with self._news:  # not while the server is being restarted
            return self._where

    def _leave(self, holder: Holder) -> None:
        self._databases.drop(*holder.databases)

    def _answer(self, holder: Holder, request: Any) -> Any:
        match request:
            case {"do": "create", "name": str(name)}:
                with self._news:
                    holder.databases.add(
                        name
                    )  # first said, then made: nobody takes it for an orphan
                self._databases.create(name)
                notice, holder.notice = holder.notice, None
                return self._greet(), notice
            case {"do": "drop", "name": str(name)}:
                self._databases.drop(name)
                with self._news:
                    holder.databases.discard(name)
                return None
            case {"do": "keep"}:
                self._kept = True
                return None
            case {"do": "down", "force": bool(force)}:
                return self._down(force=force)
            case {"do": "status"}:
                return self._status()
        raise ServerError(
            f"PostgreSQL's supervisor knows no {request}: end it with loopclinic servers down."
        )

    def _down(self, *, force: bool) -> bool:
        """Let go what `keep` holds; tell whether the server ends now."""
        with self._news:
            self._kept = False
            self._ending = self._door.closed = force or not self._door.holders
            self._news.notify_all()
            return self._ending

    def _status(self) -> dict[str, Any]:
        databases = self._databases.describe()
        with self._news:
            return {
                **self._where,
                "pid": os.getpid(),
                "kept": self._kept,
                "linger": self._linger,
                "notice": self._notice,
                "leases": [one.to_dict() for one in self._door.holders],
                "databases": databases,
            }


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
