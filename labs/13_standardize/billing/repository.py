"""Invoices in PostgreSQL. Each method takes a connection of its own from the pool."""

from collections.abc import Mapping
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from .models import Invoice, InvoiceLine, InvoiceStatus, Payment


class InvoiceRepository:
    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool

    def get(self, invoice_id: int) -> Invoice | None:
        found = self._find("id = %s", invoice_id)
        return found[0] if found else None

    def open_for_customer(self, customer_id: int) -> list[Invoice]:
        return self._find("customer_id = %s and status = 'open'", customer_id)

    def next_number(self, year: int) -> str:
        with self.pool.connection() as connection:
            row = connection.execute(
                "insert into invoice_counter (year, last) values (%s, 1)"
                " on conflict (year) do update set last = invoice_counter.last + 1 returning last",
                [year],
            ).fetchone()
        return f"{year}-{row[0]:05d}"

    def add(self, invoice: Invoice) -> Invoice:
        with self.pool.connection() as connection:
            row = connection.execute(
                "insert into invoice"
                " (number, booking_id, customer_id, currency, status, issued_on, due_on)"
                " values (%s, %s, %s, %s, %s, %s, %s) returning id",
                [
                    invoice.number,
                    invoice.booking_id,
                    invoice.customer_id,
                    invoice.currency,
                    invoice.status.value,
                    invoice.issued_on,
                    invoice.due_on,
                ],
            ).fetchone()
            invoice.id = row[0]
        for line in invoice.lines:
            self.add_line(invoice.id, line)
        return invoice

    def add_line(self, invoice_id: int, line: InvoiceLine) -> None:
        with self.pool.connection() as connection:
            connection.execute(
                "insert into invoice_line (invoice_id, description, quantity, unit_cents)"
                " values (%s, %s, %s, %s)",
                [invoice_id, line.description, line.quantity, line.unit_cents],
            )

    def add_payment(self, invoice_id: int, payment: Payment) -> None:
        with self.pool.connection() as connection:
            connection.execute(
                "insert into payment (invoice_id, amount_cents, method, reference)"
                " values (%s, %s, %s, %s)",
                [invoice_id, payment.amount_cents, payment.method, payment.reference],
            )

    def set_status(self, invoice_id: int, status: InvoiceStatus) -> None:
        with self.pool.connection() as connection:
            connection.execute(
                "update invoice set status = %s where id = %s", [status.value, invoice_id]
            )

    def _find(self, where: str, value: object) -> list[Invoice]:
        with self.pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            rows = cursor.execute(
                f"select * from invoice where {where} order by id", [value]
            ).fetchall()
            return [complete(connection, row) for row in rows]


def complete(connection: Connection, row: Mapping[str, Any]) -> Invoice:
    """Return the invoice of this row, with its lines and payments."""
    lines = connection.execute(
        "select description, quantity, unit_cents from invoice_line"
        " where invoice_id = %s order by id",
        [row["id"]],
    ).fetchall()
    payments = connection.execute(
        "select amount_cents, method, reference, received_at from payment"
        " where invoice_id = %s order by id",
        [row["id"]],
    ).fetchall()
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
