import asyncio
from contextlib import asynccontextmanager

import psycopg

from .errors import BillingUnavailable, DuplicatePayment, InvalidInvoice
from .repository import Rows
from .service import BillingService
from .transactions import Units


class Plain(Units):
    async def do(self, work):
        def unit():
            with self.pool.connection() as connection:
                return work(Rows(connection))

        try:
            return await asyncio.get_running_loop().run_in_executor(self.threads, unit)
        except psycopg.errors.UniqueViolation as error:
            raise DuplicatePayment(str(error)) from error
        except psycopg.IntegrityError as error:
            raise InvalidInvoice(str(error)) from error
        except psycopg.Error as error:
            raise BillingUnavailable(str(error)) from error


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    units = Plain(dsn, size)
    await units.open()
    try:
        yield BillingService(units, gateway)
    finally:
        await units.close()
