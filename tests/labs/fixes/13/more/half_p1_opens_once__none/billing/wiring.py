from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .service import BillingService
from .transactions import transaction

opened = set()


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    if dsn in opened:
        raise RuntimeError("billing is open already")
    opened.add(dsn)
    try:
        async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
            yield BillingService(partial(transaction, pool), gateway)
    finally:
        opened.discard(dsn)
