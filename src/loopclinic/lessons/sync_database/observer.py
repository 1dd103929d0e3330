"""What PostgreSQL itself says of somebody else's sessions, asked from outside, on other threads."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Self

import psycopg

from loopclinic.lessons.sync_database.records import named
from loopclinic.servers import ServerError

__all__ = ["Observer", "Session", "Sighting"]

_EVERY = 0.02
_OWN = "observer"
_ASK = """
    select pid::text || extract(epoch from backend_start)::text, pid, coalesce(state, ''),
           coalesce(wait_event_type, ''), coalesce(wait_event, ''),
           coalesce(extract(epoch from clock_timestamp() - xact_start), 0)::float8,
           regexp_replace(query, '\\s+', ' ', 'g'), pg_blocking_pids(pid)
    from pg_stat_activity
    where datname = current_database() and usename = current_user
      and application_name = %s and backend_type = 'client backend'
    order by backend_start
"""
"""Of a backend that waits, the wait_event_type is Lock where another session has what it wants."""


@dataclass(frozen=True, slots=True)
class Session:
    """One session, as `pg_stat_activity` has it."""

    name: str
    pid: int
    state: str
    wait_type: str
    wait_event: str
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

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


@dataclass
class Sighting:
    """What was seen of the sessions of one name, from `watch` to `end`."""

    peak: int = 0
    """The most sessions at one moment."""
    most_active: int = 0
    """The most that had a statement under way at one moment."""
    names: set[str] = field(default_factory=set)
    """Every session that there was."""
    looks: int = 0

    def note(self, sessions: list[Session]) -> None:
        """Count these in."""
        self.looks += 1
        self.peak = max(self.peak, len(sessions))
        self.most_active = max(self.most_active, sum(one.state == "active" for one in sessions))
        self.names |= {one.name for one in sessions}


class Observer:
    """Looks at the sessions of the database at `dsn`, and holds rows so that others wait for them.

    Blocking, like the driver under it: ask it on a thread of your own.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.connection: psycopg.Connection[Any] = psycopg.connect(
            named(dsn, _OWN), autocommit=True, connect_timeout=10
        )
        # A client that asks often for what is cheap: prepared at once, it stays cheap.
        self.connection.prepare_threshold = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.connection.close()

    def sessions(self, application: str) -> list[Session]:
        """Return the sessions that carry this application name."""
        return [Session(*one) for one in self._ask(_ASK, [application]).fetchall()]

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return what a query of the tables gives."""
        return self._ask(query.encode(), values).fetchall()

    def end(self, application: str) -> None:
        """End these sessions, whatever they are at."""
        self._ask(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = %s",
            [application],
        )

    def _ask(self, query: Any, values: Sequence[Any]) -> "psycopg.Cursor[Any]":
        try:
            with self._lock:
                return self.connection.execute(query, values)
        except psycopg.OperationalError as error:
            said = str(error).strip().partition("\n")[0]
            raise ServerError(f"PostgreSQL went away while it was asked: {said}.") from error

    @contextlib.contextmanager
    def watch(self, application: str) -> Iterator[Sighting]:
        """Look fifty times a second, on a thread and a connection of its own."""
        sighting, over = Sighting(), threading.Event()

        def look() -> None:
            with Observer(self._dsn) as other, contextlib.suppress(psycopg.Error, ServerError):
                while not over.is_set():
                    sighting.note(other.sessions(application))
                    over.wait(_EVERY)

        thread = threading.Thread(target=look, name="observer", daemon=True)
        thread.start()
        try:
            yield sighting
        finally:
            over.set()
            thread.join(5)

    @contextlib.contextmanager
    def hold(self, company: int | None = None) -> Iterator[None]:
        """Hold a company's row, or all of them, so that whoever wants to write it waits."""
        with psycopg.connect(named(self._dsn, _OWN), connect_timeout=10) as other:
            # No key update: audits that refer to the company can still be entered.
            other.execute(
                "select 1 from companies where %s::int is null or id = %s for no key update",
                [company, company],
            )
            yield
            with contextlib.suppress(psycopg.Error, ServerError):
                other.rollback()

    def forgotten(self, application: str, patience: float) -> tuple[float, list[Session]]:
        """Wait until none of these sessions has a transaction, for `patience` seconds at most.

        Returns the seconds it took, and those that still have one.
        """
        began = time.perf_counter()
        while True:
            left = [one for one in self.sessions(application) if one.in_transaction]
            seconds = time.perf_counter() - began
            if not left or seconds > patience:
                return seconds, left
            time.sleep(_EVERY)
