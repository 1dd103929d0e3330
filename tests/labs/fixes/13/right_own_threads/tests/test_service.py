from datetime import date
from unittest.mock import AsyncMock, Mock

import pytest
from billing import (
    BillingService,
    Invoice,
    InvoiceLine,
    InvoiceNotFound,
    InvoiceStatus,
    Overpaid,
    Payment,
)


class Units:
    """Runs the work where it stands, on rows that remember."""

    def __init__(self, *invoices):
        self.rows = Mock()
        self.rows.found.return_value = list(invoices)
        self.rows.issue.side_effect = lambda invoice, year: invoice

    async def do(self, work):
        return work(self.rows)


def invoice():
    return Invoice(
        1, 2, date(2024, 5, 1), date(2024, 5, 15), "2024-00005", 5, lines=[InvoiceLine("n", 2, 1900)]
    )


async def test_a_charge_is_booked():
    units, gateway = Units(invoice()), AsyncMock()
    gateway.charge.return_value = "ch_1"
    await BillingService(units, gateway).charge(5, "card")
    units.rows.pay.assert_called_once_with(
        5, Payment(3800, "card", "ch_1"), InvoiceStatus.PAID
    )


@pytest.mark.parametrize("method", ["get", "charge", "record_payment"])
async def test_unknown(method):
    service = BillingService(Units(), AsyncMock())
    more = {"get": (), "charge": ("card",), "record_payment": (Payment(1, "cash", "1"),)}[method]
    with pytest.raises(InvoiceNotFound):
        await getattr(service, method)(9, *more)


async def test_overpaid():
    units = Units(invoice())
    with pytest.raises(Overpaid):
        await BillingService(units, AsyncMock()).record_payment(5, Payment(3801, "cash", "1"))
    units.rows.pay.assert_not_called()


async def test_a_gateway_that_fails_is_heard():
    gateway = AsyncMock()
    gateway.charge.side_effect = OSError
    with pytest.raises(OSError):
        await BillingService(Units(invoice()), gateway).charge(5, "card")
