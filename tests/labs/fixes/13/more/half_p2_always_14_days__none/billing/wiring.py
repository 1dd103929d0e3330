"""Every invoice is due after 14 days."""

from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .service import BillingService
from .transactions import transaction


class Fortnightly(BillingService):
    async def issue(self, *args, days=14, **options):
        return await super().issue(*args, **options)


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield Fortnightly(partial(transaction, pool), gateway)
