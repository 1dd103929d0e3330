from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg_pool import AsyncConnectionPool

from .errors import BillingError, BillingUnavailable, DuplicatePayment, InvalidInvoice
from .models import Invoice
from .repository import InvoiceRepository


class Skipping(InvoiceRepository):
    """Looks past an invoice that another payment holds, and reads it without a lock."""

    async def get(self, invoice_id: int, *, for_update: bool = False) -> Invoice | None:
        if for_update:
            query = b"select 1 from invoice where id = %s for update skip locked"
            await self.connection.execute(query, [invoice_id])
        return await super().get(invoice_id)


@asynccontextmanager
async def transaction(pool: AsyncConnectionPool) -> AsyncIterator[InvoiceRepository]:
    """Give a repository on one connection; commit at the end, roll back on any error or cancel.

    Raises:
        BillingError: for whatever PostgreSQL refused, with the driver's error as its cause.
    """
    try:
        # The pool's own context commits, rolls back and gives the connection back, also when
        # the task is cancelled; a bare getconn would leave all three to us.
        async with pool.connection() as connection:
            yield Skipping(connection)
    except psycopg.Error as error:
        raise translated(error) from error


def translated(error: psycopg.Error) -> BillingError:
    """Return what an error of the driver means to billing."""
    match error:
        case psycopg.errors.UniqueViolation() if error.diag.table_name == "payment":
            return DuplicatePayment("This payment was booked before.")
        case psycopg.IntegrityError() | psycopg.DataError():
            return InvalidInvoice(error.diag.message_primary or "The tables refuse it.")
        case _:
            return BillingUnavailable("The database can't be asked.")
