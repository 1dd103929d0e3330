"""Makes a temporary database or schema on a running server: that of DATABASE_URL, or of `servers up`.

The address is read, pointed at another database of its server, and its errors are explained.
"""

import contextlib
import re
import secrets
from typing import Any, Literal, Self
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from loopclinic.servers.postgres.server import PREFIX, VARIABLE
from loopclinic.servers.server_process import ServerError

Connection = psycopg.Connection[Any]

_TIMEOUT = 5
_OWN = f"or unset {VARIABLE} to use the kit's own server"


class ForeignDatabase:
    """A database on a server of the user's, or a schema where that is all it allows.

    `name` is made of `label`. `dsn` is its address; with a schema, the only one that is searched.
    """

    def __init__(self, address: str, label: str) -> None:
        hint = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")[:24] or "lesson"
        self.name = f"{PREFIX}{hint}_{secrets.token_hex(4)}"
        self.kind: Literal["database", "schema"] = "database"
        self.dsn = ""
        self._address = address
        self._guard: Connection | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and not ended; its server is for others to watch."""
        return bool(self.dsn)

    def start(self) -> Self:
        """Create it, and drop what killed processes left; ServerError if the server is not reached, or refuses."""
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
        return self

    def close(self) -> None:
        """Drop it, whoever is still connected. Idempotent; what a dead server keeps is swept later."""
        self.dsn = ""
        guard, self._guard = self._guard, None
        if guard is None:
            return
        with contextlib.suppress(psycopg.Error):
            try:
                _drop(guard, self.kind, self.name)
            except psycopg.OperationalError:  # the server was restarted meanwhile
                with connect(self._address) as fresh:
                    _drop(fresh, self.kind, self.name)
        guard.close()

    def _create(self, guard: Connection) -> None:
        _sweep(guard)
        name = sql.Identifier(self.name)
        try:
            # template0: what an administrator put into template1 is none of a lesson's business.
            guard.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidCatalogName):
            pass  # the latter on a server of the kit's own, which has one database and no template
        else:
            try:
                connect(with_database(self._address, self.name)).close()
            except psycopg.Error:  # a pooler, or rules that let the user into the one database only
                _drop(guard, "database", self.name)
            else:
                self.dsn = with_database(self._address, self.name)
                return
        self.kind = "schema"
        guard.execute(sql.SQL("CREATE SCHEMA {}").format(name))
        self.dsn = with_schema(self._address, self.name)


def describe_server(address: str) -> dict[str, Any]:
    """Return what `status` shows of the server at `address`.

    Of our databases it tells name, bytes (None where that is a secret), connections, and `in_use`: there
    are any, or the process that made it still lives. ServerError if it isn't reached.
    """
    address = normalized(address)
    try:
        with connect(address) as admin:
            row = admin.execute(
                "SELECT current_setting('server_version') AS version,"
                " extract(epoch FROM now() - pg_postmaster_start_time())::float8 AS uptime"
            ).fetchone()
            databases = admin.cursor(row_factory=dict_row).execute(_DATABASES, (PREFIX,)).fetchall()
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


def add_template(admin: str, source: str) -> None:
    """Give a server of the kit's own the template that `CREATE DATABASE` asks for: a copy of `source`."""
    create = "CREATE DATABASE template0 TEMPLATE {} IS_TEMPLATE true ALLOW_CONNECTIONS false"
    with connect(admin) as connection:
        connection.execute(sql.SQL(create).format(sql.Identifier(source)))


_DATABASES = """
    SELECT datname AS name,
        CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) END AS bytes,
        (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid) AS connections,
        EXISTS (SELECT FROM pg_stat_activity a
            WHERE a.datid = d.oid OR a.application_name = d.datname) AS in_use
    FROM pg_database d WHERE starts_with(datname, %s) ORDER BY 1
"""
_LEFT = {
    "database": """
        SELECT datname FROM pg_database d
        WHERE starts_with(datname, %s) AND pg_has_role(datdba, 'USAGE')
            AND NOT EXISTS (SELECT FROM pg_stat_activity a
                WHERE a.application_name = d.datname OR a.datname = d.datname)
    """,
    "schema": """
        SELECT nspname FROM pg_namespace
        WHERE starts_with(nspname, %s) AND pg_has_role(nspowner, 'USAGE')
            AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.application_name = nspname)
    """,
}
"""Selects by kind what is ours, has no guard any more and is not in use."""
_LOCKING = """
    SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND l.pid <> pg_backend_pid()
"""
"""Ends the sessions that hold locks on what is in a schema."""


def _sweep(guard: Connection) -> None:
    for kind, select in _LEFT.items():
        for (name,) in guard.execute(select, (PREFIX,)).fetchall():
            with contextlib.suppress(psycopg.Error):  # swept by somebody else at the same time
                _drop(guard, kind, name)


def _drop(admin: Connection, kind: str, name: str) -> None:
    """Drop a database or a schema if it exists, and end the sessions that use it."""
    if kind == "schema":
        admin.execute(_LOCKING, (name,))
        drop = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE")
    else:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
    admin.execute(drop.format(sql.Identifier(name)))


def connect(address: str, *, name: str = "loopclinic") -> Connection:
    """Connect for statements that are committed one by one; `name` is what the server shows."""
    known = conninfo_to_dict(address)
    return psycopg.connect(
        address,
        autocommit=True,
        connect_timeout=int(known.get("connect_timeout") or _TIMEOUT),
        application_name=name,
    )


# Addresses.


def normalized(address: str) -> str:
    """Return the address as a URL that psycopg and asyncpg read; ServerError if it is none of PostgreSQL."""
    # SQLAlchemy's way to name a driver.
    address = re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", address)
    try:
        return _url(address)
    except psycopg.ProgrammingError:
        scheme = address.partition("://")[0] if "://" in address else "not an address"
        raise ServerError(
            f"{VARIABLE} is {scheme}, not PostgreSQL: set it to postgresql://user:password@host/database, "
            f"{_OWN}."
        ) from None


def with_database(address: str, name: str) -> str:
    """Return the address of another database on the same server."""
    return _url(address, dbname=name)


def with_schema(address: str, name: str) -> str:
    """Return the address with `name` as the only schema that is searched."""
    before = conninfo_to_dict(address).get("options") or ""
    return _url(address, options=f"{before} -csearch_path={name}".strip())


def redacted(address: str) -> str:
    """Return the address without its password, to be shown."""
    return _url(address, password="", options="")


def _url(address: str, **changed: str) -> str:
    """Return the address as a URL with these parts of it changed; empty ones are left out."""
    known = conninfo_to_dict(address, **changed)
    parts = {key: str(value) for key, value in known.items() if value}
    who = ("user", "password", "dbname")
    user, password, name = (quote(parts.pop(key, ""), safe="") for key in who)
    hosts, ports = (parts.pop(key, "").split(",") for key in ("host", "port"))
    pairs = zip(hosts, ports if len(ports) > 1 else ports * len(hosts), strict=True)
    quoted = ((f"[{host}]" if ":" in host else quote(host, safe=""), port) for host, port in pairs)
    where = ",".join(f"{host}:{port}" if port else host for host, port in quoted)
    login = f"{user}:{password}" if password else user
    query = urlencode(parts, quote_via=quote)
    return f"postgresql://{login}{'@' if login else ''}{where}/{name}{'?' if query else ''}{query}"


def explain(error: psycopg.Error, address: str) -> ServerError:
    """Return the error that names what to repair in or behind DATABASE_URL."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
    where = redacted(address)
    rows = iter(_SENTENCES.strip().splitlines())
    for pattern, sentence in zip(rows, rows, strict=True):
        if re.search(pattern, f"{error.sqlstate or ''} {error}", re.IGNORECASE):
            told = sentence.strip().format(where=where, variable=VARIABLE)
            return ServerError(f"{told}, {_OWN}.", said)
    return ServerError(f"PostgreSQL at {where} refused: {said}. Check {VARIABLE}, {_OWN}.", said)


_SENTENCES = r"""
password authentication failed|no password supplied|^28P01
    PostgreSQL at {where} does not take the password: correct the user and password in {variable}
no pg_hba.conf entry|^28000
    PostgreSQL at {where} does not let this user in from here: allow it in pg_hba.conf there
could not translate host name|name or service not known|failed to resolve
    The host of {where} is not known: correct it in {variable}
connection refused|timeout expired|timed out|unreachable|no route|no such file|is the server running
    Nothing answers at {where}: start that server, correct host and port in {variable}
starting up|shutting down|recovery mode
    PostgreSQL at {where} is just starting or stopping: try again in a few seconds
read-only|^25006
    The database at {where} is read-only, and lessons write: name one that can be written in {variable}
^53300|too many (clients|connections)|remaining connection slots
    PostgreSQL at {where} has no connection left: close those that are not needed, raise max_connections there
^42501|permission denied
    The user of {where} may create neither a database nor a schema: grant it CREATE on the database
^3D000|database .* does not exist
    The database of {where} does not exist: create it, name another in {variable}
"""
"""A pattern of what PostgreSQL said and its SQLSTATE, and below it what to do; the first that fits counts."""
