"""What PostgreSQL itself says of somebody else's sessions, asked from outside, on other threads."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from loopclinic.servers.postgres_admin import PREFIX
from loopclinic.servers.postgres_monitor import OF_NAME, Monitor
from loopclinic.servers.process import ServerError

__all__ = ["Session", "SessionMonitor", "Sessions", "Sighting"]

_EVERY = 0.02
_ASK = f"""
    select pid::text || extract(epoch from backend_start)::text, pid, coalesce(state, ''),
           coalesce(wait_event_type, ''), coalesce(wait_event, ''),
           coalesce(extract(epoch from clock_timestamp() - xact_start), 0)::float8,
           regexp_replace(query, '\\s+', ' ', 'g'), pg_blocking_pids(pid)
    {OF_NAME}
    order by backend_start
"""  # noqa: S608 - a constant
"""Of a backend that waits, the wait_event_type is Lock where another session has what it wants."""
_COUNT = f"""
    select count(*), count(*) filter (where state = 'active' and wait_event_type = 'Lock')
    {OF_NAME}
"""

_COUNTS_SESSIONS = 140_000
"""The version of PostgreSQL from which on it counts them."""
_OPENED = """
    select sessions from pg_stat_database
    where datname = current_database() and starts_with(datname, %s)
"""


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
    looks: int = 0

    def note(self, sessions: list[Session]) -> None:
        """Count these in."""
        self.looks += 1
        self.peak = max(self.peak, len(sessions))
        self.most_active = max(self.most_active, sum(one.state == "active" for one in sessions))
        self.names |= {one.name for one in sessions}


class SessionMonitor(Monitor):
    """Looks at the sessions of a name: at once, for as long as a block takes, or until they are idle."""

    def sessions(self, name: str) -> list[Session]:
        """Return the sessions of this name."""
        return [Session(*one) for one in self.rows(_ASK, *self.of(name))]

    def count(self, name: str) -> Sessions:
        """Return how many sessions carry this name: cheap, also where they are many."""
        return Sessions(*self.rows(_COUNT, *self.of(name))[0])

    def until_waiting(self, name: str, many: int, patience: float) -> None:
        """Wait until so many of them want a row that is held, for `patience` seconds at most."""
        ends = time.monotonic() + patience
        while self.count(name).waiting < many and time.monotonic() < ends:
            time.sleep(_EVERY / 2)

    @contextlib.contextmanager
    def watch(self, name: str) -> Iterator[Sighting]:
        """Look fifty times a second, on a thread and a connection of its own."""
        sighting, over = Sighting(), threading.Event()
        opened, own = self._opened(), Monitor.connections

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
            others = self._opened() - opened - (Monitor.connections - own)
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
