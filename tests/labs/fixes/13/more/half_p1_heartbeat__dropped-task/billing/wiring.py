import asyncio
from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .service import BillingService
from .transactions import transaction


async def beat(pool):
    while True:
        await asyncio.sleep(30)
        await pool.check()


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        pool.beat = asyncio.create_task(beat(pool))
        yield BillingService(partial(transaction, pool), gateway)
