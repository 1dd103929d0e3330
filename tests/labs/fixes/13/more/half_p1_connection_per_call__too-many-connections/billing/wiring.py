from contextlib import asynccontextmanager
from functools import partial

from .service import BillingService
from .transactions import transaction


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    yield BillingService(partial(transaction, dsn), gateway)
