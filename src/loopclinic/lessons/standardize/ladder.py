"""Ways to book a payment, as the notebook shows them, and the two repositories they stand on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

__all__ = [
    "WAYS",
    "AsyncInvoices",
    "BillingError",
    "HalfSync",
    "Hopping",
    "Invoices",
    "Migrated",
    "Overpaid",
    "transaction",
]

_AWAY = 0.01
"""Seconds that each statement takes, as if the database were that far away."""
_OPEN = """
    select (select sum(quantity * unit_cents) from invoice_line where invoice_id = %(id)s)
         - (select coalesce(sum(amount_cents), 0) from payment where invoice_id = %(id)s),
           pg_sleep(%(away)s)
"""
_PAY = """
    with away as materialized (select pg_sleep(%(away)s))
    insert into payment (invoice_id, amount_cents, method, reference)
    select %(id)s, %(cents)s, 'card', %(reference)s from away
"""
_LOCK = "select 1 from invoice where id = %s for update"


class Overpaid(Exception):  # noqa: N818 - the sample code base calls it so
    """Less is open than was paid."""


class BillingError(Exception):
    """Billing's own word for what its database refuses."""


class Invoices:
    """The repository as it was: each method takes a connection, and waits."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool

    def open_cents(self, invoice: int) -> int:
        """Return what is open."""
        with self.pool.connection() as connection:
            row = connection.execute(_OPEN, {"id": invoice, "away": _AWAY}).fetchone()
        return int(row[0]) if row is not None else 0

    def pay(self, invoice: int, cents: int, reference: str) -> None:
        """Book a payment."""
        with self.pool.connection() as connection:
            connection.execute(_PAY, _payment(invoice, cents, reference))


class AsyncInvoices:
    """The repository migrated: on a connection of the caller's, in the caller's transaction."""

    def __init__(self, connection: "psycopg.AsyncConnection[Any]") -> None:
        self.connection = connection

    async def open_cents(self, invoice: int, *, for_update: bool = False) -> int:
        """Return what is open; `for_update` keeps others from paying until the end."""
        if for_update:
            await self.connection.execute(_LOCK, [invoice])
        cursor = await self.connection.execute(_OPEN, {"id": invoice, "away": _AWAY})
        row = await cursor.fetchone()
        return int(row[0]) if row is not None else 0

    async def pay(self, invoice: int, cents: int, reference: str) -> None:
        """Book a payment."""
        await self.connection.execute(_PAY, _payment(invoice, cents, reference))


def _payment(invoice: int, cents: int, reference: str) -> dict[str, Any]:
    return {"id": invoice, "cents": cents, "reference": reference, "away": _AWAY}


class HalfSync:
    """Asynchronous by name: rung 0."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.invoices = Invoices(pool)

    async def record(self, invoice: int, cents: int, reference: str) -> None:
        """Book a payment that is not more than is open."""
        if cents > self.invoices.open_cents(invoice):  # loopclinic: ignore[blocking-db] on purpose
            raise Overpaid
        self.invoices.pay(invoice, cents, reference)  # loopclinic: ignore[blocking-db] on purpose


class Hopping(HalfSync):
    """A thread for each call: rung 1."""

    async def record(self, invoice: int, cents: int, reference: str) -> None:
        """Book a payment that is not more than was open a moment ago."""
        if cents > await asyncio.to_thread(self.invoices.open_cents, invoice):
            raise Overpaid
        await asyncio.to_thread(self.invoices.pay, invoice, cents, reference)


@asynccontextmanager
async def transaction(pool: AsyncConnectionPool) -> AsyncIterator[AsyncInvoices]:
    """Give a repository on one connection; commit, or roll back, and speak billing's own words."""
    try:
        async with pool.connection() as connection:
            yield AsyncInvoices(connection)
    except psycopg.Error as error:
        raise BillingError from error


class Migrated:
    """One transaction, awaited: rung 2."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self.pool = pool

    async def record(self, invoice: int, cents: int, reference: str) -> None:
        """Book a payment that is not more than is open."""
        async with transaction(self.pool) as invoices:
            if cents > await invoices.open_cents(invoice, for_update=True):
                raise Overpaid
            await invoices.pay(invoice, cents, reference)


WAYS: tuple[type[Any], ...] = (HalfSync, Hopping, Migrated)
"""The rungs, as the notebook writes them."""
