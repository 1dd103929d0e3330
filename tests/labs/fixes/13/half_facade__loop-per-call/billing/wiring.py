import asyncio
from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .service import BillingService
from .transactions import transaction


class Desk(BillingService):
    def charge_now(self, invoice_id, card):
        """For the desk at the harbor, which is not asynchronous."""
        return asyncio.run(self.charge(invoice_id, card))


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield Desk(partial(transaction, pool), gateway)
