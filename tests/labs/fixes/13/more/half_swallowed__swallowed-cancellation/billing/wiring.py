import logging
from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .service import BillingService
from .transactions import transaction


class Polite:
    """A gateway that says what went wrong."""

    def __init__(self, gateway):
        self.gateway = gateway

    async def charge(self, *args):
        try:
            return await self.gateway.charge(*args)
        except BaseException as error:
            logging.getLogger(__name__).exception("charging failed")
            raise RuntimeError("charging failed") from error


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield BillingService(partial(transaction, pool), Polite(gateway))
