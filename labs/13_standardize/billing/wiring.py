"""Puts the package together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg_pool import ConnectionPool

from .repository import InvoiceRepository
from .service import BillingService, Gateway


@asynccontextmanager
async def open_billing(
    dsn: str, gateway: Gateway, *, size: int = 4
) -> AsyncIterator[BillingService]:
    """Open a pool of `size` connections at most, and give the service; close it at the end."""
    pool = ConnectionPool(dsn, min_size=1, max_size=size, open=True)
    try:
        yield BillingService(InvoiceRepository(pool), gateway)
    finally:
        pool.close()
