from contextlib import asynccontextmanager
from functools import partial

import psycopg
from psycopg_pool import AsyncConnectionPool

from .service import BillingService
from .transactions import transaction


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    with psycopg.connect(dsn) as connection:  # are the tables there?
        connection.execute("select 1 from invoice limit 1")
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield BillingService(partial(transaction, pool), gateway)
