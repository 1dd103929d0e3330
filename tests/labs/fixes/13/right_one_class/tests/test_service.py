"""Against a cursor that plays back rows."""

from contextlib import asynccontextmanager
from datetime import date
from unittest.mock import AsyncMock

import billing
import pytest
from billing.service import BillingService

ROW = {
    "id": 5,
    "number": "2024-00005",
    "booking_id": 1,
    "customer_id": 2,
    "currency": "EUR",
    "status": "open",
    "issued_on": date(2024, 5, 1),
    "due_on": date(2024, 5, 15),
}
LINE = {"description": "night", "quantity": 2, "unit_cents": 1900}


def service(row, gateway=None):
    cursor = AsyncMock()
    cursor.fetchone.return_value = row
    cursor.fetchall.side_effect = lambda: _answer(cursor)

    @asynccontextmanager
    async def session():
        yield cursor

    return BillingService(gateway or AsyncMock(), session=session), cursor


def _answer(cursor):
    return [LINE] if "invoice_line" in cursor.execute.await_args.args[0] else []


async def test_unknown():
    one, _ = service(None)
    with pytest.raises(billing.InvoiceNotFound):
        await one.get(1)


async def test_overpaid():
    one, cursor = service(ROW)
    with pytest.raises(billing.Overpaid):
        await one.record_payment(5, billing.Payment(3801, "cash", "1"))
    assert all("insert" not in call.args[0] for call in cursor.execute.await_args_list)


async def test_charge():
    gateway = AsyncMock()
    gateway.charge.return_value = "ch_1"
    one, _ = service(ROW, gateway)
    paid = await one.charge(5, "card")
    gateway.charge.assert_awaited_once_with(3800, "EUR", "card", "2024-00005")
    assert paid.payments == [billing.Payment(3800, "card", "ch_1")]


async def test_refused():
    gateway = AsyncMock()
    gateway.charge.side_effect = TimeoutError
    one, _ = service(ROW, gateway)
    with pytest.raises(TimeoutError):
        await one.charge(5, "card")
