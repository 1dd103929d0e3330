from datetime import date

import pytest

from moorings.billing import Invoice, InvoiceLine, InvoiceStatus, Payment
from moorings.billing.numbering import format_number, parse_number


def invoice(**changes) -> Invoice:
    values = {
        "booking_id": 1,
        "customer_id": 1,
        "issued_on": date(2024, 5, 1),
        "due_on": date(2024, 5, 15),
        "lines": [InvoiceLine("3 nights", 3, 1900), InvoiceLine("power", 1, 450)],
    }
    return Invoice(**{**values, **changes})


def test_balance_is_what_the_payments_left():
    assert invoice().balance_cents == 6150
    assert invoice(payments=[Payment(150, "cash", "1")]).balance_cents == 6000


def test_overdue_from_the_day_after():
    assert not invoice().overdue(date(2024, 5, 15))
    assert invoice().overdue(date(2024, 5, 16))
    assert not invoice(status=InvoiceStatus.PAID).overdue(date(2024, 5, 16))


def test_numbers_come_back():
    assert parse_number(format_number(2024, 17)) == (2024, 17)
    with pytest.raises(ValueError, match="not an invoice number"):
        parse_number("24-1")
