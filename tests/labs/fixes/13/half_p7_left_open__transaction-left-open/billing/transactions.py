"""A small pool of its own. `except Exception` does not see a cancel."""

from contextlib import asynccontextmanager

import psycopg

from .errors import BillingUnavailable, DuplicatePayment, InvalidInvoice
from .repository import InvoiceRepository


@asynccontextmanager
async def transaction(free):
    connection = await free.get()
    try:
        yield InvoiceRepository(connection)
    except Exception as error:
        if connection.closed:
            connection = await psycopg.AsyncConnection.connect(free.dsn)
        await connection.rollback()
        if isinstance(error, psycopg.errors.UniqueViolation):
            raise DuplicatePayment(str(error)) from error
        if isinstance(error, psycopg.IntegrityError):
            raise InvalidInvoice(str(error)) from error
        if isinstance(error, psycopg.Error):
            raise BillingUnavailable(str(error)) from error
        raise
    else:
        await connection.commit()
    finally:
        free.put_nowait(connection)
