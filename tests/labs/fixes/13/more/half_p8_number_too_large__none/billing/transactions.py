from contextlib import asynccontextmanager

import psycopg

from .errors import BillingUnavailable, DuplicatePayment, InvalidInvoice
from .repository import InvoiceRepository


@asynccontextmanager
async def transaction(pool):
    try:
        async with pool.connection() as connection:
            yield InvoiceRepository(connection)
    except psycopg.errors.UniqueViolation as error:
        raise DuplicatePayment(str(error)) from error
    except psycopg.IntegrityError as error:
        raise InvalidInvoice(str(error)) from error
    except psycopg.OperationalError as error:
        raise BillingUnavailable(str(error)) from error
