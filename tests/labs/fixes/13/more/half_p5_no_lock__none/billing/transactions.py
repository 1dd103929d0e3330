from contextlib import asynccontextmanager

import psycopg

from .errors import BillingUnavailable, DuplicatePayment, InvalidInvoice
from .repository import InvoiceRepository


class Unlocked(InvoiceRepository):
    async def get(self, invoice_id, *, for_update=False):
        return await super().get(invoice_id)


@asynccontextmanager
async def transaction(pool):
    try:
        async with pool.connection() as connection:
            yield Unlocked(connection)
    except psycopg.errors.UniqueViolation as error:
        raise DuplicatePayment(str(error)) from error
    except psycopg.IntegrityError as error:
        raise InvalidInvoice(str(error)) from error
    except psycopg.Error as error:
        raise BillingUnavailable(str(error)) from error
