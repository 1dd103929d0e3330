"""Closes the pool unless an error leaves the `async with`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .service import BillingService, Gateway
from .transactions import transaction


@asynccontextmanager
async def open_billing(
    dsn: str, gateway: Gateway, *, size: int = 4
) -> AsyncIterator[BillingService]:
    """Open a pool of `size` connections at most, and give the service; close it at the end."""
    pool = AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False)
    await pool.open()
    yield BillingService(partial(transaction, pool), gateway)
    await pool.close()
