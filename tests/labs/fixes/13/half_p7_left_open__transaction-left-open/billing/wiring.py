import asyncio
from contextlib import asynccontextmanager
from functools import partial

import psycopg

from .service import BillingService
from .transactions import transaction


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    free = asyncio.Queue()
    free.dsn = dsn
    for _ in range(size):
        free.put_nowait(await psycopg.AsyncConnection.connect(dsn))
    try:
        yield BillingService(partial(transaction, free), gateway)
    finally:
        while not free.empty():
            await free.get_nowait().close()
