from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .errors import BillingUnavailable
from .service import BillingService
from .transactions import transaction


class Polite:
    """A gateway whose errors are billing's own."""

    def __init__(self, gateway):
        self.gateway = gateway

    async def charge(self, *args):
        try:
            return await self.gateway.charge(*args)
        except Exception as error:
            raise BillingUnavailable("The card can't be charged.") from error


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield BillingService(partial(transaction, pool), Polite(gateway))
