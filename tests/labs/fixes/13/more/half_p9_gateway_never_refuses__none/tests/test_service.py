from contextlib import asynccontextmanager
from datetime import date
from unittest.mock import AsyncMock, create_autospec

import pytest
from billing import (
    AlreadyPaid,
    BillingService,
    Invoice,
    InvoiceLine,
    InvoiceNotFound,
    InvoiceStatus,
    Overpaid,
    Payment,
)
from billing.repository import InvoiceRepository

LINE = InvoiceLine("night", 2, 1900)


@pytest.fixture
def invoice():
    return Invoice(
        id=5,
        number="2024-00005",
        booking_id=1,
        customer_id=2,
        issued_on=date(2024, 5, 1),
        due_on=date(2024, 5, 15),
        lines=[LINE],
    )


@pytest.fixture
def invoices(invoice):
    # By its specification: what is async there is an AsyncMock here, and what is not there fails.
    repository = create_autospec(InvoiceRepository, instance=True)
    repository.get.return_value = invoice
    repository.next_number.return_value = "2024-00006"
    repository.add.side_effect = lambda new: new
    repository.add_payment.side_effect = lambda _, payment: invoice.payments.append(payment)
    repository.set_status.side_effect = lambda _, status: setattr(invoice, "status", status)
    return repository


@pytest.fixture
def gateway():
    return AsyncMock(**{"charge.return_value": "ch_1"})


@pytest.fixture
def service(invoices, gateway):
    @asynccontextmanager
    async def transaction():
        yield invoices

    return BillingService(transaction, gateway)


async def test_issues_an_invoice_with_the_next_number(service, invoices):
    issued = await service.issue(1, 2, [LINE], on=date(2024, 5, 1))
    assert issued.number == "2024-00006"
    assert issued.due_on == date(2024, 5, 15)
    invoices.add.assert_awaited_once_with(issued)


async def test_charging_pays_the_invoice(service, invoice, gateway):
    paid = await service.charge(5, "card")
    gateway.charge.assert_awaited_once_with(3800, "EUR", "card", "2024-00005")
    assert paid.status is InvoiceStatus.PAID
    assert invoice.payments == [Payment(3800, "card", "ch_1")]
    with pytest.raises(AlreadyPaid):
        await service.charge(5, "card")


async def test_nobody_pays_more_than_is_open(service, invoices):
    with pytest.raises(Overpaid):
        await service.record_payment(5, Payment(9999, "cash", "1"))
    invoices.add_payment.assert_not_awaited()


async def test_an_unknown_invoice_is_named(service, invoices):
    invoices.get.return_value = None
    with pytest.raises(InvoiceNotFound, match="no invoice 9"):
        await service.get(9)


async def test_a_statement_adds_up_what_is_open(service, invoices, invoice):
    invoices.open_for_customer.return_value = [invoice]
    assert await service.statement(2) == {
        "customer": 2,
        "balance_cents": 3800,
        "invoices": ["2024-00005"],
    }
