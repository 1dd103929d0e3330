"""The repository against a pool that only remembers what it was told."""

from datetime import date
from unittest.mock import MagicMock

from moorings.billing import Invoice, InvoiceLine, InvoiceRepository, InvoiceStatus


def repository(*rows):
    pool = MagicMock()
    connection = pool.connection.return_value.__enter__.return_value
    connection.execute.return_value.fetchone.side_effect = list(rows)
    return InvoiceRepository(pool), connection


def statements(connection) -> list[str]:
    return [call.args[0].split()[0] + " " + call.args[0].split()[2] for call in connection.execute.mock_calls if call.args]


def test_a_number_is_counted_per_year():
    invoices, connection = repository((7,))
    assert invoices.next_number(2024) == "2024-00007"
    assert connection.execute.call_args.args[1] == (2024,)


def test_an_invoice_is_stored_with_its_lines():
    invoices, connection = repository((12,))
    new = Invoice(
        booking_id=1,
        customer_id=2,
        issued_on=date(2024, 5, 1),
        due_on=date(2024, 5, 15),
        number="2024-00001",
        lines=[InvoiceLine("night", 2, 1900), InvoiceLine("power", 2, 450)],
    )
    assert invoices.add(new).id == 12
    assert statements(connection) == ["insert invoice", "insert invoice_line", "insert invoice_line"]


def test_status_is_stored_as_text():
    invoices, connection = repository()
    invoices.set_status(3, InvoiceStatus.VOID)
    assert connection.execute.call_args.args[1] == ("void", 3)
