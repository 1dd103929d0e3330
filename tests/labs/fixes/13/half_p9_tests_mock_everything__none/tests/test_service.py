from unittest.mock import create_autospec

from billing import BillingService, Payment

service = create_autospec(BillingService, instance=True)


async def test_charges():
    service.charge.return_value = "paid"
    assert await service.charge(5, "card") == "paid"
    service.charge.assert_awaited_once()


async def test_books():
    await service.record_payment(5, Payment(100, "cash", "1"))
    service.record_payment.assert_awaited_once()
