"""A connection of one's own, from which a database is asked about the sessions and rows of others."""

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psycopg

from loopclinic.servers.postgres_admin import PREFIX
from loopclinic.servers.postgres_database import VARIABLE
from loopclinic.servers.process import ServerError

__all__ = ["OF_NAME", "Monitor", "mine", "named"]

OF_NAME = """
    from pg_stat_activity
    where datname = current_database() and usename = current_user
      and (application_name = %s or starts_with(datname, %s) and application_name not like %s)
      and backend_type = 'client backend'
"""
"""Where to look for the sessions of a name, which is to be given as `Monitor.of(name)`."""

_TOKEN = secrets.token_hex(3)
_LONGEST = 50
_EVERY = 0.02


class Monitor:
    """Asks the database at `dsn`, and holds its rows so that others wait for them; closed by `with`.

    Blocking, like the driver under it: ask it on a thread of your own. `name` is what its own
    sessions carry. With `unnamed`, sessions that carry no name of this process's count as sessions of
    every name: a program may name its own. In a database that others use, too, they never do.

    Raises:
        ServerError: PostgreSQL can't be asked, here and in every method.
    """

    connections = 0
    """How many this process has opened to ask, all monitors together."""

    def __init__(self, dsn: str, name: str, *, unnamed: bool = False) -> None:
        self.dsn = dsn
        self.unnamed = unnamed
        self._own = named(dsn, name)
        self._lock = threading.Lock()
        self.connection: psycopg.Connection[Any] = self._connect(autocommit=True)
        # Asked often and cheap: prepared at once, it stays cheap.
        self.connection.prepare_threshold = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.connection.close()

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return what a query gives; none for a statement that gives no rows."""
        with self._lock, _explained():
            cursor = self.connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def of(self, name: str) -> tuple[str, str, str]:
        """Return the values that `OF_NAME` takes for this name."""
        return mine(name), PREFIX, f"% {_TOKEN}" if self.unnamed else "%"

    def look(self) -> None:
        """See that PostgreSQL answers."""
        self.rows("select 1")

    def end(self, name: str, *, within: float = 0.0) -> None:
        """End the sessions of this name, whatever they are at; wait up to `within` s for their end."""
        self.rows(f"select pg_terminate_backend(pid) {OF_NAME}", *self.of(name))
        ends = time.monotonic() + within
        while time.monotonic() < ends and self.rows(f"select pid {OF_NAME}", *self.of(name)):
            time.sleep(_EVERY)

    @contextlib.contextmanager
    def holding(self, query: str, *values: Any) -> Iterator[None]:
        """Hold the rows that `query` locks: whoever wants to write them waits."""
        with self._connect() as other:
            with _explained():
                other.execute(query.encode(), values)
            yield
            with contextlib.suppress(psycopg.Error):
                other.rollback()

    def _connect(self, **options: Any) -> "psycopg.Connection[Any]":
        Monitor.connections += 1
        with _explained():
            return psycopg.connect(self._own, connect_timeout=10, **options)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        said = str(error).strip().partition("\n")[0]
        sentence = f"PostgreSQL went away while it was asked: {said}."
        if os.environ.get(VARIABLE):
            sentence += (
                f" It is the one that {VARIABLE} names: start it again, or unset {VARIABLE}."
            )
        raise ServerError(sentence) from error


def named(dsn: str, name: str) -> str:
    """Return this address with a name by which PostgreSQL tells its sessions apart."""
    joint = "&" if "?" in dsn else "?"
    return f"{dsn}{joint}application_name={quote(mine(name))}"


def mine(name: str) -> str:
    """Return what PostgreSQL calls sessions of this name: unlike any other process's of this machine."""
    # PostgreSQL cuts names at 63 bytes.
    return f"{name[:_LONGEST]} {_TOKEN}"
