import asyncio
from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import ConnectionPool

from .service import BillingService
from .transactions import transaction


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    pool = ConnectionPool(dsn, min_size=1, max_size=size, open=False)
    await asyncio.to_thread(pool.open)
    try:
        yield BillingService(partial(transaction, pool), gateway)
    finally:
        await asyncio.to_thread(pool.close)
