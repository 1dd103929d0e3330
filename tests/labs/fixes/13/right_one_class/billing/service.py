"""All of billing in one class: no repository, the SQL stands where it is used. psycopg's own pool."""

from contextlib import asynccontextmanager
from datetime import date, timedelta

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from . import errors
from .models import Invoice, InvoiceLine, InvoiceStatus, Payment


class BillingService:
    def __init__(self, gateway, *, dsn="", size=4, session=None):
        self.gateway = gateway
        self.pool = AsyncConnectionPool(
            dsn, min_size=0, max_size=size, open=False, kwargs={"row_factory": dict_row}
        )
        self._session = session or self._pooled

    async def __aenter__(self):
        await self.pool.open()
        return self

    async def __aexit__(self, *_):
        await self.pool.close()

    @asynccontextmanager
    async def _pooled(self):
        try:
            async with self.pool.connection() as connection, connection.cursor() as cursor:
                yield cursor
        except psycopg.errors.UniqueViolation as error:
            raise errors.DuplicatePayment("booked before") from error
        except psycopg.errors.CheckViolation as error:
            raise errors.InvalidInvoice(str(error)) from error
        except psycopg.Error as error:
            raise errors.BillingUnavailable(str(error)) from error

    async def get(self, invoice_id):
        async with self._session() as cursor:
            return await self._load(cursor, invoice_id)

    async def _load(self, cursor, invoice_id, lock=""):
        await cursor.execute(f"select * from invoice where id = %s {lock}", [invoice_id])
        row = await cursor.fetchone()
        if row is None:
            raise errors.InvoiceNotFound(invoice_id)
        return await self._whole(cursor, row)

    async def _whole(self, cursor, row):
        await cursor.execute(
            "select description, quantity, unit_cents from invoice_line"
            " where invoice_id = %s order by id",
            [row["id"]],
        )
        lines = [InvoiceLine(**one) for one in await cursor.fetchall()]
        await cursor.execute(
            "select amount_cents, method, reference, received_at from payment"
            " where invoice_id = %s order by id",
            [row["id"]],
        )
        payments = [Payment(**one) for one in await cursor.fetchall()]
        status = InvoiceStatus(row["status"])
        return Invoice(**{**row, "status": status}, lines=lines, payments=payments)

    async def issue(self, booking_id, customer_id, lines, *, on=None, days=14):
        on = on or date.today()
        invoice = Invoice(
            booking_id, customer_id, on, on + timedelta(days=days), lines=list(lines)
        )
        async with self._session() as cursor:
            await cursor.execute(
                "insert into invoice_counter (year, last) values (%s, 1) on conflict (year)"
                " do update set last = invoice_counter.last + 1 returning last",
                [on.year],
            )
            invoice.number = f"{on.year}-{(await cursor.fetchone())['last']:05d}"
            await cursor.execute(
                "insert into invoice (number, booking_id, customer_id, issued_on, due_on)"
                " values (%s, %s, %s, %s, %s) returning id",
                [invoice.number, booking_id, customer_id, on, invoice.due_on],
            )
            invoice.id = (await cursor.fetchone())["id"]
            for one in invoice.lines:
                await cursor.execute(
                    "insert into invoice_line (invoice_id, description, quantity, unit_cents)"
                    " values (%s, %s, %s, %s)",
                    [invoice.id, one.description, one.quantity, one.unit_cents],
                )
        return invoice

    async def record_payment(self, invoice_id, payment):
        async with self._session() as cursor:
            invoice = await self._load(cursor, invoice_id, "for update")
            self._expect_open(invoice)
            if payment.amount_cents > invoice.balance_cents:
                raise errors.Overpaid(invoice.number)
            await cursor.execute(
                "insert into payment (invoice_id, amount_cents, method, reference)"
                " values (%s, %s, %s, %s)",
                [invoice_id, payment.amount_cents, payment.method, payment.reference],
            )
            invoice.payments.append(payment)
            if not invoice.balance_cents:
                invoice.status = InvoiceStatus.PAID
                await cursor.execute("update invoice set status = 'paid' where id = %s", [invoice_id])
        return invoice

    @staticmethod
    def _expect_open(invoice):
        if invoice.status is not InvoiceStatus.OPEN:
            raise errors.AlreadyPaid(invoice.number)

    async def charge(self, invoice_id, card):
        invoice = await self.get(invoice_id)
        self._expect_open(invoice)
        cents = invoice.balance_cents
        reference = await self.gateway.charge(cents, invoice.currency, card, invoice.number)
        return await self.record_payment(invoice_id, Payment(cents, "card", reference))

    async def statement(self, customer_id):
        async with self._session() as cursor:
            await cursor.execute(
                "select * from invoice where customer_id = %s and status = 'open' order by id",
                [customer_id],
            )
            found = [await self._whole(cursor, row) for row in await cursor.fetchall()]
        return {
            "customer": customer_id,
            "balance_cents": sum(one.balance_cents for one in found),
            "invoices": [one.number for one in found],
        }
