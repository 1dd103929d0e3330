from contextlib import asynccontextmanager
from functools import partial

import asyncpg

from .service import BillingService
from .transactions import transaction


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with asyncpg.create_pool(dsn, min_size=1, max_size=size) as pool:
        yield BillingService(partial(transaction, pool), gateway)
