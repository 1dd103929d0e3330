"""A lab's sessions as PostgreSQL sees them: listed, counted, watched and ended from a connection of the kit's."""

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import psycopg

from loopclinic.servers.postgres.server import PREFIX, VARIABLE
from loopclinic.servers.server_process import ServerError

_OF_NAME = """
    from pg_stat_activity
    where datname = current_database() and usename = current_user
      and (application_name = %s or starts_with(datname, %s) and current_schema() = 'public'
           and application_name not like %s)
      and backend_type = 'client backend'
"""
"""Selects the sessions of a name, given as `SessionMonitor._of(name)`."""

_TOKEN = secrets.token_hex(3)
_LONGEST = 50
_EVERY = 0.02
_ASK = f"""
    select pid::text || extract(epoch from backend_start)::text, pid, coalesce(state, ''),
           coalesce(wait_event_type, ''),
           coalesce(extract(epoch from clock_timestamp() - xact_start), 0)::float8,
           regexp_replace(query, '\\s+', ' ', 'g'), pg_blocking_pids(pid)
    {_OF_NAME}
    order by backend_start
"""  # noqa: S608 - a constant
"""Of a backend that waits, the wait_event_type is Lock where another session has what it wants."""
_COUNT = f"""
    select count(*), count(*) filter (where state = 'active' and wait_event_type = 'Lock')
    {_OF_NAME}
"""

_COUNTS_SESSIONS = 140_000
"""The version of PostgreSQL from which on it counts them."""
_OPENED = """
    select sessions from pg_stat_database
    where datname = current_database() and starts_with(datname, %s) and current_schema() = 'public'
"""


@dataclass(frozen=True, slots=True)
class Session:
    """One session, as `pg_stat_activity` has it."""

    name: str
    pid: int
    state: str
    wait_type: str
    transaction: float
    """Seconds since its transaction began, 0 if it has none."""
    query: str
    """The statement it is at, or was at last."""
    blocked_by: list[int]

    @property
    def waits_for_lock(self) -> bool:
        """Whether another session has the row it wants."""
        return self.state == "active" and self.wait_type == "Lock"

    @property
    def in_transaction(self) -> bool:
        """Whether it has a transaction open: at work, or idle."""
        return self.state.startswith("idle in transaction") or (
            self.state == "active" and self.transaction > 0
        )

    @property
    def says(self) -> str:
        """What it does, in words."""
        if self.waits_for_lock:
            holders = " and ".join(map(str, self.blocked_by))
            return f"waits for a lock that {holders} holds" if holders else "waits for a lock"
        return self.state or "connecting"


class Sessions(NamedTuple):
    """How many sessions of one name there are at one moment."""

    open: int
    waiting: int
    """For a row that another session has."""


@dataclass
class Sighting:
    """What was seen of the sessions of one name, from `watch` to `end`."""

    peak: int = 0
    """The most sessions at one moment."""
    most_active: int = 0
    """The most that had a statement under way at one moment."""
    names: set[str] = field(default_factory=set)
    """Every session that there was."""
    opened: int = 0
    """Sessions that were opened, also those too short to be seen."""

    def note(self, sessions: list[Session]) -> None:
        """Count these sessions in: raise the highest counts and add their names."""
        self.peak = max(self.peak, len(sessions))
        self.most_active = max(self.most_active, sum(one.state == "active" for one in sessions))
        self.names |= {one.name for one in sessions}


class SessionMonitor:
    """Asks the database at `dsn` for sessions, and holds its rows so that others wait; closed by `with`.

    Blocking, like the driver under it: ask it on a thread of your own. `name` is what its own
    sessions carry. With `unnamed`, sessions that carry no name of this process's count as sessions of
    every name: a program may name its own. In a database that others use, too, as with a schema of
    one's own, they never do.

    Raises:
        ServerError: PostgreSQL can't be asked, here and in every method.
    """

    connections = 0
    """Connections that all monitors of this process have opened."""

    def __init__(self, dsn: str, name: str, *, unnamed: bool = False) -> None:
        self.dsn, self.unnamed = dsn, unnamed
        self._own, self._lock = named(dsn, name), threading.Lock()
        self.connection: psycopg.Connection[Any] = self._connect(autocommit=True)
        # Asked often and cheap: prepared at once, it stays cheap.
        self.connection.prepare_threshold = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return what a query gives; none for a statement that gives no rows."""
        with self._lock, _explained():
            cursor = self.connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def look(self) -> None:
        """Ask PostgreSQL for an answer; raise ServerError if there is none."""
        self.rows("select 1")

    def _of(self, name: str) -> tuple[str, str, str]:
        return mine(name), PREFIX, f"% {_TOKEN}" if self.unnamed else "%"

    def end(self, name: str, *, within: float = 0.0) -> None:
        """End the sessions of this name, whatever they are at; wait up to `within` s for their end."""
        self.rows(f"select pg_terminate_backend(pid) {_OF_NAME}", *self._of(name))
        ends = time.monotonic() + within
        while time.monotonic() < ends and self.rows(f"select pid {_OF_NAME}", *self._of(name)):
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
        SessionMonitor.connections += 1
        with _explained():
            return psycopg.connect(self._own, connect_timeout=10, **options)

    def sessions(self, name: str) -> list[Session]:
        """Return the sessions of this name."""
        return [Session(*one) for one in self.rows(_ASK, *self._of(name))]

    def count(self, name: str) -> Sessions:
        """Return how many sessions carry this name: cheap, also where they are many."""
        return Sessions(*self.rows(_COUNT, *self._of(name))[0])

    def until_waiting(self, name: str, many: int, patience: float) -> None:
        """Wait until so many of them want a row that is held, for `patience` seconds at most."""
        ends = time.monotonic() + patience
        while self.count(name).waiting < many and time.monotonic() < ends:
            time.sleep(_EVERY / 2)

    @contextlib.contextmanager
    def watch(self, name: str) -> Iterator[Sighting]:
        """Sample the sessions fifty times per second, on a thread and a connection of its own."""
        sighting, over = Sighting(), threading.Event()
        opened, own = self._opened(), SessionMonitor.connections

        def look() -> None:
            with (
                contextlib.suppress(ServerError),
                SessionMonitor(self.dsn, "watch", unnamed=self.unnamed) as other,
            ):
                while not over.is_set():
                    sighting.note(other.sessions(name))
                    over.wait(_EVERY)

        thread = threading.Thread(target=look, name="watch-sessions", daemon=True)
        thread.start()
        try:
            yield sighting
        finally:
            over.set()
            thread.join(5)
            others = self._opened() - opened - (SessionMonitor.connections - own)
            sighting.opened = max(len(sighting.names), others)

    def _opened(self) -> int:
        """Return how many sessions there were so far, of every name; 0 where others open some, too."""
        if not self.unnamed or self.connection.info.server_version < _COUNTS_SESSIONS:
            return 0
        found = self.rows(_OPENED, PREFIX)
        return int(found[0][0]) if found else 0

    def forgotten(self, name: str, patience: float) -> tuple[float, list[Session]]:
        """Wait until none of these sessions has a transaction, for `patience` seconds at most.

        Returns the seconds it took, and those that still have one.
        """
        began = time.perf_counter()
        while True:
            left = [one for one in self.sessions(name) if one.in_transaction]
            seconds = time.perf_counter() - began
            if not left or seconds > patience:
                return seconds, left
            time.sleep(_EVERY)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        said = str(error).strip().partition("\n")[0]
        sentence = f"PostgreSQL went away while it was asked: {said}."
        if os.environ.get(VARIABLE):
            named = f"It is the one that {VARIABLE} names"
            sentence += f" {named}: start it again, or unset {VARIABLE}."
        raise ServerError(sentence) from error


def named(dsn: str, name: str) -> str:
    """Return this address with a name by which PostgreSQL tells its sessions apart."""
    joint = "&" if "?" in dsn else "?"
    return f"{dsn}{joint}application_name={quote(mine(name))}"


def mine(name: str) -> str:
    """Return what PostgreSQL calls sessions of this name: unlike any other process's of this machine."""
    # PostgreSQL cuts names at 63 bytes.
    return f"{name[:_LONGEST]} {_TOKEN}"
