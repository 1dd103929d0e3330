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
        if error.diag.table_name == "payment":
            raise DuplicatePayment(str(error)) from None
        raise BillingUnavailable(str(error)) from None
    except psycopg.IntegrityError as error:
        raise InvalidInvoice(str(error)) from None
    except psycopg.Error as error:
        raise BillingUnavailable(str(error)) from None
