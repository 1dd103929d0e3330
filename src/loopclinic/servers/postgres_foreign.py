"""A database, or a schema, on the server that DATABASE_URL names."""

import contextlib
from typing import Any, Literal

import psycopg

from loopclinic.servers.postgres_address import (
    explain,
    normalized,
    redacted,
    with_database,
    with_schema,
)
from loopclinic.servers.postgres_admin import (
    PREFIX,
    Connection,
    connect,
    create_database,
    create_schema,
    describe_databases,
    drop_database,
    drop_schema,
)

__all__ = ["ForeignDatabase", "describe_server"]


class ForeignDatabase:
    """A database named `name` on a server of the user's, or a schema where that is all it allows.

    `dsn` is its address; with a schema, the only one that is searched.
    """

    def __init__(self, address: str, name: str) -> None:
        self.name = name
        self.kind: Literal["database", "schema"] = "database"
        self.dsn = ""
        self._address = address
        self._guard: Connection | None = None

    def start(self) -> None:
        """Create it, and drop what killed processes left.

        Raises:
            ServerError: the server is not reached, or refuses; the message names the repair.
        """
        self._address = normalized(self._address)
        try:
            # The guard's name goes with its connection, so with this process: it shows that it lives.
            self._guard = connect(self._address, name=self.name)
            self._create(self._guard)
        except psycopg.Error as error:
            self.close()
            raise explain(error, self._address) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop it, whoever is still connected. Idempotent; what a dead server keeps is swept later."""
        guard, self._guard = self._guard, None
        if guard is None:
            return
        with contextlib.suppress(psycopg.Error):
            try:
                self._drop(guard)
            except psycopg.OperationalError:  # the server was restarted meanwhile
                with connect(self._address) as fresh:
                    self._drop(fresh)
        guard.close()

    def _create(self, guard: Connection) -> None:
        _sweep(guard)
        try:
            create_database(guard, self.name)
        except psycopg.errors.InsufficientPrivilege:
            self._use_schema(guard)
            return
        self.dsn = with_database(self._address, self.name)
        try:
            connect(self.dsn).close()
        except psycopg.Error:
            # A pooler, or rules that let the user into the one database only.
            drop_database(guard, self.name)
            self._use_schema(guard)

    def _use_schema(self, guard: Connection) -> None:
        self.kind = "schema"
        create_schema(guard, self.name)
        self.dsn = with_schema(self._address, self.name)

    def _drop(self, admin: Connection) -> None:
        (drop_schema if self.kind == "schema" else drop_database)(admin, self.name)


def describe_server(address: str) -> dict[str, Any]:
    """Return what `status` shows of the server at `address`.

    Raises:
        ServerError: it isn't reached; the message names the repair.
    """
    address = normalized(address)
    try:
        with connect(address) as admin:
            row = admin.execute(
                "SELECT current_setting('server_version'),"
                " extract(epoch FROM now() - pg_postmaster_start_time())::float8"
            ).fetchone()
            databases = describe_databases(admin)
    except psycopg.Error as error:
        raise explain(error, address) from error
    assert row is not None
    return {
        "running": True,
        "way": "address",
        "address": redacted(address),
        "version": row[0],
        "uptime": row[1],
        "databases": databases,
    }


def _sweep(guard: Connection) -> None:
    """Drop what is ours, has no guard any more and is not in use."""
    databases = guard.execute(
        "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
        " AND pg_has_role(datdba, 'USAGE') AND NOT EXISTS (SELECT FROM pg_stat_activity a"
        " WHERE a.application_name = pg_database.datname OR a.datname = pg_database.datname)",
        (PREFIX,),
    ).fetchall()
    schemas = guard.execute(
        "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)"
        " AND pg_has_role(nspowner, 'USAGE') AND NOT EXISTS (SELECT FROM pg_stat_activity a"
        " WHERE a.application_name = nspname)",
        (PREFIX,),
    ).fetchall()
    for found, drop in ((databases, drop_database), (schemas, drop_schema)):
        for (name,) in found:
            with contextlib.suppress(psycopg.Error):  # swept by somebody else at the same time
                drop(guard, name)
