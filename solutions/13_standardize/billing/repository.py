"""Invoices in PostgreSQL, on a connection and in a transaction of the caller's."""

from collections.abc import Mapping
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from .models import Invoice, InvoiceLine, InvoiceStatus, Payment

NUMBER = """
    insert into invoice_counter (year, last) values (%s, 1)
    on conflict (year) do update set last = invoice_counter.last + 1 returning last
"""
INVOICE = """
    insert into invoice (number, booking_id, customer_id, currency, status, issued_on, due_on)
    values (%s, %s, %s, %s, %s, %s, %s) returning id
"""
LINE = """
    insert into invoice_line (invoice_id, description, quantity, unit_cents)
    values (%s, %s, %s, %s)
"""
PAYMENT = """
    insert into payment (invoice_id, amount_cents, method, reference) values (%s, %s, %s, %s)
"""
LINES = """
    select description, quantity, unit_cents from invoice_line where invoice_id = %s order by id
"""
PAYMENTS = """
    select amount_cents, method, reference, received_at from payment
    where invoice_id = %s order by id
"""


class InvoiceRepository:
    """Rows in, objects out; it never commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def get(self, invoice_id: int, *, for_update: bool = False) -> Invoice | None:
        """Return an invoice, or None; `for_update` keeps others from changing it until the end."""
        query = "select * from invoice where id = %s"
        found = await self._found(query + " for update" if for_update else query, invoice_id)
        return found[0] if found else None

    async def open_for_customer(self, customer_id: int) -> list[Invoice]:
        """Return what a customer has to pay."""
        query = "select * from invoice where customer_id = %s and status = 'open' order by id"
        return await self._found(query, customer_id)

    async def next_number(self, year: int) -> str:
        """Count one invoice more in this year; others wait for the end of the transaction."""
        row = await (await self.connection.execute(NUMBER, [year])).fetchone()
        assert row is not None
        return f"{year}-{row[0]:05d}"

    async def add(self, invoice: Invoice) -> Invoice:
        """Store an invoice with its lines."""
        values = [
            invoice.number,
            invoice.booking_id,
            invoice.customer_id,
            invoice.currency,
            invoice.status.value,
            invoice.issued_on,
            invoice.due_on,
        ]
        row = await (await self.connection.execute(INVOICE, values)).fetchone()
        assert row is not None
        invoice.id = row[0]
        async with self.connection.cursor() as cursor:
            await cursor.executemany(
                LINE,
                [
                    (invoice.id, one.description, one.quantity, one.unit_cents)
                    for one in invoice.lines
                ],
            )
        return invoice

    async def add_payment(self, invoice_id: int, payment: Payment) -> None:
        """Book a payment."""
        await self.connection.execute(
            PAYMENT, [invoice_id, payment.amount_cents, payment.method, payment.reference]
        )

    async def set_status(self, invoice_id: int, status: InvoiceStatus) -> None:
        """Say where an invoice stands."""
        await self.connection.execute(
            "update invoice set status = %s where id = %s", [status.value, invoice_id]
        )

    async def _found(self, query: str, value: int) -> list[Invoice]:
        async with self.connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(query.encode(), [value])
            rows = await cursor.fetchall()
        return [await self._complete(row) for row in rows]

    async def _complete(self, row: Mapping[str, Any]) -> Invoice:
        lines = await (await self.connection.execute(LINES, [row["id"]])).fetchall()
        payments = await (await self.connection.execute(PAYMENTS, [row["id"]])).fetchall()
        return Invoice(
            id=row["id"],
            number=row["number"],
            booking_id=row["booking_id"],
            customer_id=row["customer_id"],
            currency=row["currency"],
            status=InvoiceStatus(row["status"]),
            issued_on=row["issued_on"],
            due_on=row["due_on"],
            lines=[InvoiceLine(*line) for line in lines],
            payments=[Payment(*payment) for payment in payments],
        )
