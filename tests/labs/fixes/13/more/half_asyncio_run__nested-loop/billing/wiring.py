import asyncio
from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .service import BillingService
from .transactions import transaction


class Patient(BillingService):
    async def statement(self, customer_id):
        return asyncio.run(super().statement(customer_id))


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield Patient(partial(transaction, pool), gateway)
