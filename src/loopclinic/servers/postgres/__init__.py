"""PostgreSQL for lessons and checks.

    with postgres() as dsn:          # or: async with postgres() as dsn:
        psycopg.connect(dsn)

The server is the one that DATABASE_URL names; else the one that `loopclinic servers up` holds; else a
server of its own, which ends with this process at the latest.
"""

import contextlib
import os
from typing import TYPE_CHECKING, Any, Literal, Self

from loopclinic.servers.postgres.server import (
    ADMIN,
    DATABASE,
    VARIABLE,
    Server,
    address,
    end,
    remove,
    servers,
)
from loopclinic.servers.server_process import ServerError
from loopclinic.servers.sync_async import SyncAsync

if TYPE_CHECKING:
    from loopclinic.servers.postgres.database_url import ForeignDatabase

__all__ = ["VARIABLE", "Database", "ServerError", "down", "postgres", "remove", "status", "up"]


class Database(SyncAsync[str]):
    """An empty database: `with` and `async with` bind its address, and its end ends its connections.

    Where there is no block to put it in (a notebook), `start()` or `await start_async()` make it, `.dsn`
    is its address and `close()` ends it. On a server whose user may not create databases it is a schema
    (`kind`), and the only one searched.
    """

    def __init__(self, label: str = "lesson") -> None:
        self.label = label
        self._made: Server | ForeignDatabase | None = None

    @property
    def dsn(self) -> str:
        """Its address; empty before its start and after its end."""
        return "" if self._made is None else self._made.dsn

    @property
    def name(self) -> str:
        """The name of the database or schema."""
        return DATABASE if self._made is None else self._made.name

    @property
    def kind(self) -> Literal["database", "schema"]:
        """Whether it is a database of its own, or a schema in another."""
        return "database" if self._made is None else self._made.kind

    @property
    def running(self) -> bool:
        """Whether it was started and, as far as this process can tell, its server has not ended."""
        return self._made is not None and self._made.running

    def given(self) -> str:
        """Return the address."""
        return self.dsn

    def start(self) -> Self:
        """Make the database and set `dsn`, or raise ServerError; an empty one where its server has ended meanwhile."""
        if self.running:
            return self
        self.close()
        named = os.environ.get(VARIABLE, "").strip()
        if not named and (held := _held()):
            named = address(held)
        if named:
            from loopclinic.servers.postgres.database_url import ForeignDatabase  # imports a driver

            self._made = ForeignDatabase(named, self.label).start()
        else:
            self._made = Server(self.label).start()
        return self

    def close(self) -> None:
        """End it and its connections. Idempotent."""
        made, self._made = self._made, None
        if made is not None:
            made.close()

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}{'' if self.dsn else ', closed'}>"


def postgres(label: str = "lesson") -> Database:
    """Return an empty database, not yet started; `label` says in `status` what it is for."""
    return Database(label)


def status() -> dict[str, Any]:
    """Return which servers run, as JSON values without passwords; bytes, and seconds since the epoch.

    `way` is `address` (DATABASE_URL), or None; `servers` are this user's own, each with its owner's `pid`
    and `label`. One that `up` holds has `databases`. ServerError if DATABASE_URL leads to no server.
    """
    if named := os.environ.get(VARIABLE, "").strip():
        return _described(named)
    found = []
    for note in servers():
        shown = {key: value for key, value in note.items() if key != "password"}
        shown["address"] = f"postgresql://127.0.0.1:{note['port']}"
        if note["held"]:
            with contextlib.suppress(ServerError):
                shown["databases"] = _described(address(note, ADMIN))["databases"]
        found.append(shown)
    return {"way": None, "running": bool(found), "servers": found}


def up() -> str:
    """Start the server that is held until `down`, unless there is one; return its address, or raise ServerError."""
    if (note := _held()) is None:
        from loopclinic.servers.postgres.database_url import add_template  # imports a driver

        note = Server("servers up", held=True).start().note
        add_template(address(note, ADMIN), DATABASE)
    return address(note)


def down(*, force: bool = False) -> list[dict[str, Any]] | None:
    """End the server that `up` holds, unless databases on it are in use: these are returned.

    `force` ends it, and each server that another process has of its own. Returns None where there was
    nothing to end; ServerError if one does not end.
    """
    own = servers()
    held = [note for note in own if note["held"]]
    if held and not force:
        databases: list[dict[str, Any]] = _described(address(held[0], ADMIN))["databases"]
        if used := [one for one in databases if one["in_use"] and one["name"] != DATABASE]:
            return used
    if not (ending := own if force else held):
        return None
    end(ending)
    return []


def _held() -> dict[str, Any] | None:
    return next((note for note in servers() if note["held"]), None)


def _described(where: str) -> dict[str, Any]:
    from loopclinic.servers.postgres.database_url import describe_server  # imports a driver

    return describe_server(where)
