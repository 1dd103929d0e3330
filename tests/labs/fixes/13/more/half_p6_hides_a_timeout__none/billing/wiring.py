"""Returns the invoice as it is when the gateway takes too long."""

from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .service import BillingService
from .transactions import transaction


class Hiding(BillingService):
    async def charge(self, invoice_id, card):
        try:
            return await super().charge(invoice_id, card)
        except TimeoutError:
            return await self.get(invoice_id)


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield Hiding(partial(transaction, pool), gateway)
