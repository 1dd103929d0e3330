from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .models import InvoiceStatus, Payment
from .service import BillingService, expect_open, required
from .transactions import transaction


class Careful(BillingService):
    async def charge(self, invoice_id, card):
        async with self.transaction() as invoices:
            invoice = await required(invoices, invoice_id, for_update=True)
            expect_open(invoice)
            cents = invoice.balance_cents
            charge = await self.gateway.charge(cents, invoice.currency, card, invoice.number)
            await invoices.add_payment(invoice_id, Payment(cents, "card", charge))
            await invoices.set_status(invoice_id, InvoiceStatus.PAID)
            return await required(invoices, invoice_id)


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield Careful(partial(transaction, pool), gateway)
