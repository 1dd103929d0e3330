"""The books as PostgreSQL has them, asked from outside: invoices, counters, and who is at work on them."""

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from loopclinic.places import kit_data
from loopclinic.servers.postgres_sessions import SessionMonitor

__all__ = ["Books", "Entry", "lay_out", "sample"]

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
    return kit_data("samples", "moorings")


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


class Books(SessionMonitor):
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

    def held(self, table: str) -> AbstractContextManager[None]:
        """Let nobody write this table; it can be read."""
        return self.holding(f"lock table {table} in share mode")

    def to_json(self, invoice: int) -> dict[str, Any] | None:
        """Return an entry as JSON values."""
        found = self.entry(invoice)
        return None if found is None else {name: getattr(found, name) for name in Entry.__slots__}
