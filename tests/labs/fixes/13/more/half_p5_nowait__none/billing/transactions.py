from contextlib import asynccontextmanager

import psycopg

from .errors import BillingUnavailable, DuplicatePayment, InvalidInvoice
from .repository import InvoiceRepository


class Impatient(InvoiceRepository):
    async def get(self, invoice_id, *, for_update=False):
        if for_update:
            query = "select 1 from invoice where id = %s for update nowait"
            await self.connection.execute(query, [invoice_id])
        return await super().get(invoice_id)


@asynccontextmanager
async def transaction(pool):
    try:
        async with pool.connection() as connection:
            yield Impatient(connection)
    except psycopg.errors.UniqueViolation as error:
        if error.diag.table_name == "payment":
            raise DuplicatePayment(str(error)) from error
        raise BillingUnavailable(str(error)) from error
    except psycopg.IntegrityError as error:
        raise InvalidInvoice(str(error)) from error
    except psycopg.Error as error:
        raise BillingUnavailable(str(error)) from error
