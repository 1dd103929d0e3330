from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .service import BillingService
from .transactions import transaction


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    pool = AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False)
    await pool.open()
    yield BillingService(partial(transaction, pool), gateway)
