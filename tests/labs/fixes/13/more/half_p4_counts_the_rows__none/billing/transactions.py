"""A number is one more than there are: two at once count the same."""

from contextlib import asynccontextmanager

import psycopg

from .errors import BillingUnavailable, DuplicatePayment, InvalidInvoice
from .repository import InvoiceRepository


class Counting(InvoiceRepository):
    async def next_number(self, year):
        query = "select count(*) from invoice where extract(year from issued_on) = %s"
        row = await (await self.connection.execute(query, [year])).fetchone()
        return f"{year}-{row[0] + 1:05d}"


@asynccontextmanager
async def transaction(pool):
    try:
        async with pool.connection() as connection:
            yield Counting(connection)
    except psycopg.errors.UniqueViolation as error:
        if error.diag.table_name == "payment":
            raise DuplicatePayment(str(error)) from error
        raise BillingUnavailable(str(error)) from error
    except psycopg.IntegrityError as error:
        raise InvalidInvoice(str(error)) from error
    except psycopg.Error as error:
        raise BillingUnavailable(str(error)) from error
