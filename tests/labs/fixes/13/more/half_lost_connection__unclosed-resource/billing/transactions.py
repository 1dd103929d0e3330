from contextlib import asynccontextmanager

import psycopg

from .errors import BillingUnavailable, DuplicatePayment, InvalidInvoice
from .repository import InvoiceRepository


@asynccontextmanager
async def transaction(pool):
    connection = await pool.getconn()
    try:
        yield InvoiceRepository(connection)
    except Exception as error:
        await connection.rollback()
        await pool.putconn(connection)
        if isinstance(error, psycopg.errors.UniqueViolation):
            raise DuplicatePayment(str(error)) from error
        if isinstance(error, psycopg.IntegrityError):
            raise InvalidInvoice(str(error)) from error
        if isinstance(error, psycopg.Error):
            raise BillingUnavailable(str(error)) from error
        raise
    await connection.commit()
    await pool.putconn(connection)
