import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .service import BillingService
from .transactions import transaction


class Locked(BillingService):
    """Nobody's card is charged twice."""

    def __init__(self, *args):
        super().__init__(*args)
        self.locks = defaultdict(asyncio.Lock)

    async def charge(self, invoice_id, card):
        async with self.locks[invoice_id]:
            return await super().charge(invoice_id, card)


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield Locked(partial(transaction, pool), gateway)
