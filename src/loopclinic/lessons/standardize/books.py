"""The books as PostgreSQL has them, asked from outside: invoices, counters, and who is at work on them."""

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from loopclinic.places import kit_root
from loopclinic.servers import ServerError
from loopclinic.servers.postgres_monitor import Monitor, mine

__all__ = ["Books", "Entry", "Sighting", "lay_out", "sample"]

_EVERY = 0.02
_SESSIONS = """
    select pid, state, coalesce(wait_event_type = 'Lock', false), xact_start is not null
    from pg_stat_activity
    where datname = current_database() and usename = current_user
      and application_name = %s and backend_type = 'client backend'
"""
_ENTRY = """
    select number, status, (select count(*) from invoice_line where invoice_id = invoice.id),
           (select coalesce(sum(quantity * unit_cents), 0) from invoice_line
            where invoice_id = invoice.id),
           (select coalesce(sum(amount_cents), 0) from payment where invoice_id = invoice.id)
    from invoice where id = %s
"""


def sample() -> Path:
    """Return the folder of the sample code base.

    Raises:
        KitNotFoundError: the kit's `data/` folder is nowhere to be found.
    """
    # The clone that this package lies in, wherever it is called from.
    clone = Path(__file__).resolve().parents[4] / "data" / "samples" / "moorings"
    return clone if clone.is_dir() else kit_root().resolve() / "data" / "samples" / "moorings"


def lay_out(dsn: str) -> None:
    """Make the tables of the sample code base in the empty database at `dsn`.

    Raises:
        KitNotFoundError: the kit's `data/` folder is nowhere to be found.
        psycopg.Error: the database can't be reached or is not empty.
    """
    with psycopg.connect(dsn, connect_timeout=10) as connection:
        connection.execute((sample() / "schema.sql").read_bytes())
        with contextlib.suppress(psycopg.Error), connection.transaction():
            # A lab that keeps a lock for good hangs on it: an error after a while says more.
            name = psycopg.sql.Identifier(connection.info.dbname)
            connection.execute(
                psycopg.sql.SQL("alter database {} set lock_timeout = '4s'").format(name)
            )


@dataclass(frozen=True, slots=True)
class Entry:
    """An invoice as it is stored; cents."""

    number: str
    status: str
    lines: int
    total: int
    paid: int


@dataclass
class Sighting:
    """What was seen of the sessions of one name while they were watched."""

    peak: int = 0
    """The most sessions at one moment."""
    most_active: int = 0
    """The most that had a statement under way at one moment."""


class Books(Monitor):
    """Reads the books, and the sessions that write them; holds tables so that others wait."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, "books")

    def entry(self, invoice: int) -> Entry | None:
        """Return an invoice as it is stored."""
        found = self.rows(_ENTRY, invoice)
        return Entry(*found[0]) if found else None

    def numbers(self, year: int) -> list[str]:
        """Return the numbers of a year's invoices."""
        found = self.rows("select number from invoice where number like %s order by 1", f"{year}-%")
        return [row[0] for row in found]

    def counted(self, year: int) -> int:
        """Return how far the year's counter has come."""
        found = self.rows("select last from invoice_counter where year = %s", year)
        return int(found[0][0]) if found else 0

    def sessions(self, name: str) -> int:
        """Return how many sessions of this name there are."""
        return len(self.rows(_SESSIONS, mine(name)))

    def waiting(self, name: str) -> int:
        """Return how many sessions of this name wait for a lock."""
        return sum(waits for _, _, waits, _ in self.rows(_SESSIONS, mine(name)))

    def in_transaction(self, name: str) -> int:
        """Return how many sessions of this name have a transaction open."""
        return sum(
            # One that failed is still open, and has no beginning any more.
            (state or "").startswith("idle in transaction") or (state == "active" and begun)
            for _, state, _, begun in self.rows(_SESSIONS, mine(name))
        )

    def forgotten(self, name: str, patience: float) -> tuple[float, int]:
        """Wait until no session of this name has a transaction, for `patience` seconds at most.

        Returns the seconds it took, and how many still have one.
        """
        began = time.perf_counter()
        while True:
            left = self.in_transaction(name)
            seconds = time.perf_counter() - began
            if not left or seconds > patience:
                return seconds, left
            time.sleep(_EVERY)

    def held(self, table: str) -> AbstractContextManager[None]:
        """Let nobody write this table; it can be read."""
        return self.holding(f"lock table {table} in share mode")

    @contextlib.contextmanager
    def watch(self, name: str) -> Iterator[Sighting]:
        """Look fifty times a second, on a thread and a connection of its own."""
        sighting, over = Sighting(), threading.Event()

        def look() -> None:
            with contextlib.suppress(ServerError), Books(self.dsn) as other:
                while not over.is_set():
                    found = other.rows(_SESSIONS, mine(name))
                    active = sum(state == "active" for _, state, _, _ in found)
                    sighting.peak = max(sighting.peak, len(found))
                    sighting.most_active = max(sighting.most_active, active)
                    over.wait(_EVERY)

        thread = threading.Thread(target=look, name="books", daemon=True)
        thread.start()
        try:
            yield sighting
        finally:
            over.set()
            thread.join(5)

    def to_json(self, invoice: int) -> dict[str, Any] | None:
        """Return an entry as JSON values."""
        found = self.entry(invoice)
        return None if found is None else {name: getattr(found, name) for name in Entry.__slots__}
