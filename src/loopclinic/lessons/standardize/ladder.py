"""The billing of lesson 13 in three versions (half sync, thread hops, migrated), with their repositories."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from loopclinic.lessons.sync_database.ladder import opened as pool_opened
from loopclinic.load.variant import Request, Variant

INVOICES = 40
"""Open invoices in the harbor's database, numbered from 1."""
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
    """Billing's own error for what its database refuses."""


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


class Migrated:
    """One transaction, awaited: rung 2."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self.pool = pool

    async def record(self, invoice: int, cents: int, reference: str) -> None:
        """Book a payment that is not more than is open."""
        try:
            async with self.pool.connection() as connection:
                invoices = AsyncInvoices(connection)
                if cents > await invoices.open_cents(invoice, for_update=True):
                    raise Overpaid
                await invoices.pay(invoice, cents, reference)
        except psycopg.Error as error:
            raise BillingError from error


WAYS: tuple[type[Any], ...] = (HalfSync, Hopping, Migrated)
"""The rungs, as the notebook writes them."""


@asynccontextmanager
async def opened(way: Any, dsn: str) -> AsyncIterator[Any]:
    """Open the pool that `way` asks for by its annotation, and give `way(pool)`."""
    async with pool_opened(way, dsn) as pool:
        yield way(pool)


def served(way: Any, dsn: str) -> Variant:
    """Return payments by `way(pool).record` as something to put under load."""

    async def handle(request: Request) -> None:
        await request.state.record(1 + request.number % INVOICES, 1, str(uuid4()))

    return Variant(handle, name=way.__name__, setup=lambda: opened(way, dsn))
