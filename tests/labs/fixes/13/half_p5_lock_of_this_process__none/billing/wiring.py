"""Payments wait for each other in this process, and in no other."""

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .repository import InvoiceRepository
from .service import BillingService
from .transactions import transaction


class Locked(BillingService):
    def __init__(self, *args):
        super().__init__(*args)
        self.locks = defaultdict(asyncio.Lock)

    async def record_payment(self, invoice_id, payment):
        async with self.locks[invoice_id]:
            return await super().record_payment(invoice_id, payment)


class Unlocked(InvoiceRepository):
    async def get(self, invoice_id, *, for_update=False):
        return await super().get(invoice_id)


@asynccontextmanager
async def unlocked(pool):
    async with transaction(pool) as invoices:
        yield Unlocked(invoices.connection)


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield Locked(partial(unlocked, pool), gateway)
