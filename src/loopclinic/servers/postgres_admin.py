"""The statements that make and drop the databases and schemas of lessons."""

from typing import Any

import psycopg
from psycopg import sql

__all__ = [
    "PREFIX",
    "Connection",
    "connect",
    "create_database",
    "create_schema",
    "describe_databases",
    "drop_database",
    "drop_schema",
    "our_databases",
]

Connection = psycopg.Connection[Any]

PREFIX = "loopclinic_"
"""What the name of every database and schema of ours begins with."""

_TIMEOUT = 5
_STRATEGY = 150_000


def connect(address: str, *, name: str = "loopclinic") -> Connection:
    """Connect for statements that are committed one by one; `name` is what the server shows."""
    known = psycopg.conninfo.conninfo_to_dict(address)
    return psycopg.connect(
        address,
        autocommit=True,
        connect_timeout=int(known.get("connect_timeout") or _TIMEOUT),
        application_name=name,
    )


def our_databases(admin: Connection) -> list[str]:
    """Return the names of the databases that are ours."""
    rows = admin.execute(
        "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (PREFIX,)
    ).fetchall()
    return [name for (name,) in rows]


def describe_databases(admin: Connection) -> list[dict[str, Any]]:
    """Return the name, bytes (None where that is a secret) and connections of our databases."""
    rows = admin.execute(
        "SELECT d.datname, CASE WHEN has_database_privilege(d.oid, 'CONNECT')"
        " THEN pg_database_size(d.oid) END,"
        " (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid)"
        " FROM pg_database d WHERE starts_with(d.datname, %s) ORDER BY 1",
        (PREFIX,),
    ).fetchall()
    return [{"name": name, "bytes": size, "connections": n} for name, size, n in rows]


def create_database(admin: Connection, name: str, owner: str | None = None) -> None:
    """Create an empty database; `owner` on the kit's own server only."""
    # template0: what an administrator put into template1 is none of a lesson's business.
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
    if owner and admin.info.server_version >= _STRATEGY:
        # A third less time than by the log; its checkpoints cost nothing where fsync is off.
        statement += sql.SQL(" STRATEGY file_copy")
    if owner:
        statement += sql.SQL(" OWNER {}").format(sql.Identifier(owner))
    admin.execute(statement)


def drop_database(admin: Connection, name: str) -> None:
    """Drop a database if it exists, and end the sessions in it."""
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def create_schema(admin: Connection, name: str) -> None:
    """Create a schema."""
    admin.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))


def drop_schema(admin: Connection, name: str) -> None:
    """Drop a schema if it exists, after ending the sessions that hold locks on what is in it."""
    admin.execute(
        "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND l.pid <> pg_backend_pid()",
        (name,),
    )
    admin.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))
