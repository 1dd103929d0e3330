"""Books a charge first, and takes it back when the gateway refuses."""

from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .models import InvoiceStatus, Payment
from .service import BillingService
from .transactions import transaction


class Optimist(BillingService):
    async def charge(self, invoice_id, card):
        invoice = await self.get(invoice_id)
        cents, number = invoice.balance_cents, invoice.number
        booked = await self.record_payment(invoice_id, Payment(cents, "card", number))
        try:
            await self.gateway.charge(cents, invoice.currency, card, number)
        except BaseException:
            async with self.transaction() as invoices:
                await invoices.connection.execute(
                    "delete from payment where reference = %s", [number]
                )
                await invoices.set_status(invoice_id, InvoiceStatus.OPEN)
            raise
        return booked


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield Optimist(partial(transaction, pool), gateway)
