from unittest.mock import AsyncMock

from billing import BillingService, InvoiceLine, Payment

service = BillingService(AsyncMock(), AsyncMock())


def test_charges():
    assert service.charge(5, "card")


def test_issues():
    assert service.issue(1, 2, [InvoiceLine("night", 1, 1900)]) is not None


def test_books():
    booked = service.record_payment(5, Payment(100, "cash", "1"))
    assert booked
