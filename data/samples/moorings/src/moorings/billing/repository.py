"""Invoices in PostgreSQL. Each method takes a connection of its own from the pool."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from .models import Invoice, InvoiceLine, InvoiceStatus, Payment
from .numbering import format_number


def _invoice(row: Mapping[str, Any]) -> Invoice:
    return Invoice(
        id=row["id"],
        number=row["number"],
        booking_id=row["booking_id"],
        customer_id=row["customer_id"],
        currency=row["currency"],
        status=InvoiceStatus(row["status"]),
        issued_on=row["issued_on"],
        due_on=row["due_on"],
    )


class InvoiceRepository:
    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool

    def _complete(self, connection: Connection[Any], row: DictRow) -> Invoice:
        invoice = _invoice(row)
        cursor = connection.cursor(row_factory=dict_row)
        lines = cursor.execute(
            "select description, quantity, unit_cents from invoice_line where invoice_id = %s order by id",
            (invoice.id,),
        ).fetchall()
        invoice.lines = [InvoiceLine(**line) for line in lines]
        payments = cursor.execute(
            "select amount_cents, method, reference, received_at from payment"
            " where invoice_id = %s order by id",
            (invoice.id,),
        ).fetchall()
        invoice.payments = [Payment(**payment) for payment in payments]
        return invoice

    def _find(self, where: str, *values: object) -> list[Invoice]:
        with self.pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            rows = cursor.execute(f"select * from invoice where {where} order by id", values).fetchall()
            return [self._complete(connection, row) for row in rows]

    def get(self, invoice_id: int) -> Invoice | None:
        found = self._find("id = %s", invoice_id)
        return found[0] if found else None

    def by_number(self, number: str) -> Invoice | None:
        found = self._find("number = %s", number)
        return found[0] if found else None

    def open_for_customer(self, customer_id: int) -> list[Invoice]:
        return self._find("customer_id = %s and status = 'open'", customer_id)

    def overdue(self, on: date) -> list[Invoice]:
        return self._find("status = 'open' and due_on < %s", on)

    def next_number(self, year: int) -> str:
        with self.pool.connection() as connection:
            row = connection.execute(
                "insert into invoice_counter (year, last) values (%s, 1)"
                " on conflict (year) do update set last = invoice_counter.last + 1 returning last",
                (year,),
            ).fetchone()
        assert row is not None
        return format_number(year, row[0])

    def add(self, invoice: Invoice) -> Invoice:
        with self.pool.connection() as connection:
            row = connection.execute(
                "insert into invoice (number, booking_id, customer_id, currency, status, issued_on, due_on)"
                " values (%s, %s, %s, %s, %s, %s, %s) returning id",
                (
                    invoice.number,
                    invoice.booking_id,
                    invoice.customer_id,
                    invoice.currency,
                    invoice.status.value,
                    invoice.issued_on,
                    invoice.due_on,
                ),
            ).fetchone()
            assert row is not None
            invoice.id = row[0]
            for line in invoice.lines:
                connection.execute(
                    "insert into invoice_line (invoice_id, description, quantity, unit_cents)"
                    " values (%s, %s, %s, %s)",
                    (invoice.id, line.description, line.quantity, line.unit_cents),
                )
        return invoice

    def add_payment(self, invoice_id: int, payment: Payment) -> None:
        with self.pool.connection() as connection:
            connection.execute(
                "insert into payment (invoice_id, amount_cents, method, reference)"
                " values (%s, %s, %s, %s)",
                (invoice_id, payment.amount_cents, payment.method, payment.reference),
            )

    def set_status(self, invoice_id: int, status: InvoiceStatus) -> None:
        with self.pool.connection() as connection:
            connection.execute("update invoice set status = %s where id = %s", (status.value, invoice_id))
