from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .journal import remember
from .service import BillingService
from .transactions import transaction


class Journaled(BillingService):
    async def issue(self, *args, **options):
        invoice = await super().issue(*args, **options)
        remember(invoice)
        return invoice


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield Journaled(partial(transaction, pool), gateway)
