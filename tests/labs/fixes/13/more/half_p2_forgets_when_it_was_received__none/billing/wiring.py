"""A payment that was stored has no time."""

from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .repository import InvoiceRepository
from .service import BillingService
from .transactions import transaction


class Timeless(InvoiceRepository):
    async def _complete(self, row):
        invoice = await super()._complete(row)
        invoice.payments = [replace(one, received_at=None) for one in invoice.payments]
        return invoice


@asynccontextmanager
async def timeless(pool):
    async with transaction(pool) as invoices:
        yield Timeless(invoices.connection)


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield BillingService(partial(timeless, pool), gateway)
