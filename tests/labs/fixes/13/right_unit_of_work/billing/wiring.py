from contextlib import asynccontextmanager

from psycopg_pool import AsyncConnectionPool

from .service import BillingService
from .transactions import UnitOfWork


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    pool = AsyncConnectionPool(dsn, min_size=size, max_size=size, open=False)
    await pool.open(wait=True)
    try:
        yield BillingService(lambda: UnitOfWork(pool), gateway)
    finally:
        await pool.close()
