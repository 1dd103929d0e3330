from contextlib import asynccontextmanager

from .repository import InvoiceRepository


@asynccontextmanager
async def transaction(pool):
    async with pool.connection() as connection:
        yield InvoiceRepository(connection)
