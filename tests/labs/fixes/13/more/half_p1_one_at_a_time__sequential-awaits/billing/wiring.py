import asyncio
from contextlib import asynccontextmanager

from psycopg_pool import AsyncConnectionPool

from .service import BillingService
from .transactions import transaction


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    lock = asyncio.Lock()

    @asynccontextmanager
    async def alone():
        async with lock, transaction(pool) as invoices:
            yield invoices

    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield BillingService(alone, gateway)
