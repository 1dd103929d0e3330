"""What PostgreSQL has of the updates, and of the sessions that write them, asked from outside."""

import contextlib
import secrets
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import psycopg

__all__ = ["Ledger", "Sessions", "named"]

_OWN = "ledger"
_TOKEN = secrets.token_hex(3)
_ASK = """
    select count(*), count(*) filter (where state = 'active' and wait_event_type = 'Lock')
    from pg_stat_activity
    where datname = current_database() and usename = current_user
      and application_name = %s and backend_type = 'client backend'
"""


class Sessions(NamedTuple):
    """The sessions of one name at one moment."""

    open: int
    waiting: int
    """For a row that another session has."""


class Ledger:
    """Looks at the tables and sessions of the database at `dsn`, and holds its rows.

    Blocking, like the driver under it: ask it on a thread of your own.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] = psycopg.connect(
            named(dsn, _OWN), autocommit=True, connect_timeout=10
        )
        # Asked often and cheap: prepared at once, it stays cheap.
        self._connection.prepare_threshold = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def sessions(self, name: str) -> Sessions:
        """Return how many sessions carry this name, and how many of them wait for a row."""
        return Sessions(*self._rows(_ASK, mine(name))[0])

    def stored(self, ids: Iterable[str]) -> set[str]:
        """Return which of these updates are stored."""
        rows = self._rows("select id from updates where id = any(%s)", list(ids))
        return {row[0] for row in rows}

    def labelled(self, label: str) -> int:
        """Return how many updates are stored whose id begins with this label."""
        return int(
            self._rows("select count(*) from updates where starts_with(id, %s)", label)[0][0]
        )

    def miscounted(self) -> int:
        """Return how many messages have another number of updates than is counted at them."""
        return int(
            self._rows(
                "select count(*) from messages where updates <>"
                " (select count(*) from updates where message_id = messages.id)"
            )[0][0]
        )

    def statistics(self) -> tuple[int, int]:
        """Return how many sessions this database had, and how many their client abandoned.

        Raises:
            psycopg.Error: the server is older than 14, and does not count them.
        """
        total, cut = self._rows(
            "select sessions, sessions_abandoned from pg_stat_database"
            " where datname = current_database()"
        )[0]
        return int(total), int(cut)

    def clear(self) -> None:
        """Forget every update."""
        with self._lock:
            self._connection.execute("truncate updates")
            self._connection.execute("update messages set updates = 0, status = 'queued'")

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Hold every message's row: the database stands still for whoever wants to write there."""
        with psycopg.connect(named(self._dsn, _OWN), connect_timeout=10) as other:
            other.execute("select 1 from messages for no key update")
            yield
            with contextlib.suppress(psycopg.Error):
                other.rollback()

    def end(self, name: str) -> None:
        """End the sessions of this name, whatever they are at, and wait until they are gone."""
        self._rows(
            "select pg_terminate_backend(pid, 1000) from pg_stat_activity"
            " where datname = current_database() and application_name = %s",
            mine(name),
        )

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(query.encode(), values).fetchall()


def named(dsn: str, name: str) -> str:
    """Return this address with a name by which PostgreSQL tells its sessions apart."""
    joint = "&" if "?" in dsn else "?"
    return f"{dsn}{joint}application_name={quote(mine(name))}"


def mine(name: str) -> str:
    """Return this name made unlike that of any other process: a database may be shared."""
    return f"{name} {_TOKEN}"
