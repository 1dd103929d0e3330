from contextlib import asynccontextmanager
from datetime import date, timedelta
from functools import partial

from psycopg_pool import AsyncConnectionPool

from .models import Invoice
from .service import BillingService
from .transactions import transaction


class Numbered(BillingService):
    async def issue(self, booking_id, customer_id, lines, *, on=None, days=14):
        today = on or date.today()
        async with self.transaction() as invoices:
            number = await invoices.next_number(today.year)
        due = today + timedelta(days=days)
        invoice = Invoice(booking_id, customer_id, today, due, number, lines=list(lines))
        async with self.transaction() as invoices:
            return await invoices.add(invoice)


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield Numbered(partial(transaction, pool), gateway)
