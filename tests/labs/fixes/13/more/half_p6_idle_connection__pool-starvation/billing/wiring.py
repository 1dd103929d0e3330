from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .models import Payment
from .repository import InvoiceRepository
from .service import BillingService, expect_open, required
from .transactions import transaction


class Frugal(BillingService):
    """One connection a charge: its transaction is over while the gateway is asked."""

    def __init__(self, pool, gateway):
        super().__init__(partial(transaction, pool), gateway)
        self.pool = pool

    async def charge(self, invoice_id, card):
        async with self.pool.connection() as connection:
            invoice = await required(InvoiceRepository(connection), invoice_id)
            await connection.commit()
            expect_open(invoice)
            cents = invoice.balance_cents
            charge = await self.gateway.charge(cents, invoice.currency, card, invoice.number)
        return await self.record_payment(invoice_id, Payment(cents, "card", charge))


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield Frugal(pool, gateway)
