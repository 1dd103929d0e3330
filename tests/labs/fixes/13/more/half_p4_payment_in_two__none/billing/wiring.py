from contextlib import asynccontextmanager
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .errors import Overpaid
from .models import InvoiceStatus
from .service import BillingService, expect_open, required
from .transactions import transaction


class Hasty(BillingService):
    async def record_payment(self, invoice_id, payment):
        async with self.transaction() as invoices:
            invoice = await required(invoices, invoice_id, for_update=True)
            expect_open(invoice)
            if payment.amount_cents > invoice.balance_cents:
                raise Overpaid(invoice.number)
            settled = payment.amount_cents == invoice.balance_cents
            await invoices.add_payment(invoice_id, payment)
        async with self.transaction() as invoices:
            if settled:
                await invoices.set_status(invoice_id, InvoiceStatus.PAID)
            return await required(invoices, invoice_id)


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield Hasty(partial(transaction, pool), gateway)
