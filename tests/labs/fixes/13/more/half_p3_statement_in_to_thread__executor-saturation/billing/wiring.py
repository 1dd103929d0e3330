"""Reads a statement by asyncio.to_thread."""

import asyncio
from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool, ConnectionPool

from .service import BillingService
from .transactions import transaction

OPEN = """
    select number, (select sum(quantity * unit_cents) from invoice_line where invoice_id = invoice.id)
        - coalesce((select sum(amount_cents) from payment where invoice_id = invoice.id), 0)
    from invoice where customer_id = %s and status = 'open' order by id
"""


class Threaded(BillingService):
    reading: ConnectionPool

    async def statement(self, customer_id):
        rows = await asyncio.to_thread(self.read, customer_id)
        return {
            "customer": customer_id,
            "balance_cents": int(sum(cents for _, cents in rows)),
            "invoices": [number for number, _ in rows],
        }

    def read(self, customer_id):
        with self.reading.connection() as connection:
            return connection.execute(OPEN, [customer_id]).fetchall()


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size - 1, open=False) as pool:
        service = Threaded(partial(transaction, pool), gateway)
        service.reading = ConnectionPool(dsn, min_size=1, max_size=1, open=True)
        try:
            yield service
        finally:
            await asyncio.to_thread(service.reading.close)
