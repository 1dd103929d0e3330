"""Invoices in PostgreSQL, on one connection; synchronous, for a thread."""

from psycopg.rows import dict_row

from .models import Invoice, InvoiceLine, InvoiceStatus, Payment


class Rows:
    def __init__(self, connection):
        self.connection = connection

    def found(self, where, value):
        cursor = self.connection.cursor(row_factory=dict_row)
        rows = cursor.execute(f"select * from invoice where {where}", [value]).fetchall()
        return [complete(self.connection, row) for row in rows]

    def issue(self, invoice, year):
        last = self.connection.execute(
            "insert into invoice_counter (year, last) values (%s, 1)"
            " on conflict (year) do update set last = invoice_counter.last + 1 returning last",
            [year],
        ).fetchone()[0]
        invoice.number = f"{year}-{last:05d}"
        invoice.id = self.connection.execute(
            "insert into invoice (number, booking_id, customer_id, issued_on, due_on)"
            " values (%s, %s, %s, %s, %s) returning id",
            [
                invoice.number,
                invoice.booking_id,
                invoice.customer_id,
                invoice.issued_on,
                invoice.due_on,
            ],
        ).fetchone()[0]
        for line in invoice.lines:
            self.connection.execute(
                "insert into invoice_line (invoice_id, description, quantity, unit_cents)"
                " values (%s, %s, %s, %s)",
                [invoice.id, line.description, line.quantity, line.unit_cents],
            )
        return invoice

    def pay(self, invoice_id, payment, status):
        self.connection.execute(
            "insert into payment (invoice_id, amount_cents, method, reference)"
            " values (%s, %s, %s, %s)",
            [invoice_id, payment.amount_cents, payment.method, payment.reference],
        )
        self.connection.execute(
            "update invoice set status = %s where id = %s", [status.value, invoice_id]
        )


def complete(connection, row):
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
