"""A statement shows what is paid, too."""

from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .repository import InvoiceRepository
from .service import BillingService
from .transactions import transaction


class Everything(InvoiceRepository):
    async def open_for_customer(self, customer_id):
        return await self._found("select * from invoice where customer_id = %s", customer_id)


@asynccontextmanager
async def everything(pool):
    async with transaction(pool) as invoices:
        yield Everything(invoices.connection)


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield BillingService(partial(everything, pool), gateway)
