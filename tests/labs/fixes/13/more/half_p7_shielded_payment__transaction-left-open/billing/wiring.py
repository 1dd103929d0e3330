import asyncio
from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .service import BillingService
from .transactions import transaction


class Careful(BillingService):
    async def record_payment(self, invoice_id, payment):
        return await asyncio.shield(super().record_payment(invoice_id, payment))


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield Careful(partial(transaction, pool), gateway)
