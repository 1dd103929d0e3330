"""Invoices in PostgreSQL, by asyncpg, with few round trips."""

import asyncpg

from .models import Invoice, InvoiceLine, InvoiceStatus, Payment


class InvoiceRepository:
    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def get(self, invoice_id, *, for_update=False):
        lock = " for update" if for_update else ""
        row = await self.connection.fetchrow(
            f"select * from invoice where id = $1{lock}", invoice_id
        )
        return None if row is None else await self._complete(row)

    async def open_for_customer(self, customer_id):
        rows = await self.connection.fetch(
            "select * from invoice where customer_id = $1 and status = 'open' order by id",
            customer_id,
        )
        return [await self._complete(row) for row in rows]

    async def next_number(self, year):
        last = await self.connection.fetchval(
            "insert into invoice_counter (year, last) values ($1, 1)"
            " on conflict (year) do update set last = invoice_counter.last + 1 returning last",
            year,
        )
        return f"{year}-{last:05d}"

    async def add(self, invoice):
        invoice.id = await self.connection.fetchval(
            "insert into invoice (number, booking_id, customer_id, currency, issued_on, due_on)"
            " values ($1, $2, $3, $4, $5, $6) returning id",
            invoice.number,
            invoice.booking_id,
            invoice.customer_id,
            invoice.currency,
            invoice.issued_on,
            invoice.due_on,
        )
        await self.connection.executemany(
            "insert into invoice_line (invoice_id, description, quantity, unit_cents)"
            " values ($1, $2, $3, $4)",
            [(invoice.id, one.description, one.quantity, one.unit_cents) for one in invoice.lines],
        )
        return invoice

    async def add_payment(self, invoice_id, payment):
        await self.connection.execute(
            "insert into payment (invoice_id, amount_cents, method, reference)"
            " values ($1, $2, $3, $4)",
            invoice_id,
            payment.amount_cents,
            payment.method,
            payment.reference,
        )

    async def set_status(self, invoice_id, status):
        await self.connection.execute(
            "update invoice set status = $1 where id = $2", status.value, invoice_id
        )

    async def _complete(self, row):
        lines = await self.connection.fetch(
            "select description, quantity, unit_cents from invoice_line"
            " where invoice_id = $1 order by id",
            row["id"],
        )
        payments = await self.connection.fetch(
            "select amount_cents, method, reference, received_at from payment"
            " where invoice_id = $1 order by id",
            row["id"],
        )
        values = {**row, "status": InvoiceStatus(row["status"])}
        return Invoice(
            **values,
            lines=[InvoiceLine(**one) for one in lines],
            payments=[Payment(**one) for one in payments],
        )
