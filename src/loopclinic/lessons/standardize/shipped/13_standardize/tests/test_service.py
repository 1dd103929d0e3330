import asyncio
from datetime import date
from unittest.mock import Mock

import pytest

from billing import BillingService, Invoice, InvoiceLine, InvoiceStatus, Overpaid, Payment


@pytest.fixture
def invoice():
    return Invoice(
        id=5,
        number="2024-00005",
        booking_id=1,
        customer_id=2,
        issued_on=date(2024, 5, 1),
        due_on=date(2024, 5, 15),
        lines=[InvoiceLine("night", 2, 1900)],
    )


@pytest.fixture
def invoices(invoice):
    repository = Mock()
    repository.get.return_value = invoice
    repository.next_number.return_value = "2024-00006"
    repository.add.side_effect = lambda new: new
    repository.add_payment.side_effect = lambda _, payment: invoice.payments.append(payment)
    repository.set_status.side_effect = lambda _, status: setattr(invoice, "status", status)
    return repository


class FakeGateway:
    def __init__(self):
        self.charged = []

    async def charge(self, cents, currency, card, reference):
        self.charged.append((cents, reference))
        return f"ch_{len(self.charged)}"


@pytest.fixture
def service(invoices):
    return BillingService(invoices, FakeGateway())


def test_issues_an_invoice_with_the_next_number(service, invoices):
    issued = asyncio.run(service.issue(1, 2, [InvoiceLine("night", 1, 1900)], on=date(2024, 5, 1)))
    assert issued.number == "2024-00006"
    assert issued.due_on == date(2024, 5, 15)
    invoices.add.assert_called_once()


def test_charging_pays_the_invoice(service, invoice):
    service.charge_now(5, "card")
    assert service.gateway.charged == [(3800, "2024-00005")]
    assert invoice.status is InvoiceStatus.PAID


def test_nobody_pays_more_than_is_open(service, invoices):
    with pytest.raises(Overpaid):
        asyncio.run(service.record_payment(5, Payment(9999, "cash", "1")))
    invoices.add_payment.assert_not_called()
