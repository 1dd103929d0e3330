"""What the endpoints are given."""

from functools import lru_cache
from typing import Annotated

from fastapi import Depends, Header

from ..adapters.accounting import Accounting
from ..adapters.crm import CrmAdapter
from ..adapters.mailer import Mailer
from ..adapters.payments import PaymentGateway
from ..adapters.storage import DocumentStore
from ..billing import BillingService, InvoiceRepository
from ..cache import get_redis
from ..db import get_sync_pool
from ..domain import Tariff
from ..errors import MooringsError
from ..repositories import (
    AuditLog,
    BerthRepository,
    BookingRepository,
    CustomerRepository,
    VesselRepository,
)
from ..services.availability import Availability
from ..services.bookings import BookingService
from ..services.customers import CustomerService
from ..services.documents import Documents
from ..services.reports import Reports


class NotLoggedIn(MooringsError):
    status = 401


@lru_cache
def gateway() -> PaymentGateway:
    return PaymentGateway()


@lru_cache
def audit_log() -> AuditLog:
    return AuditLog()


@lru_cache
def billing_service() -> BillingService:
    return BillingService(InvoiceRepository(get_sync_pool()), gateway(), Mailer())


@lru_cache
def booking_service() -> BookingService:
    return BookingService(
        BookingRepository(), BerthRepository(), VesselRepository(), billing_service(), audit_log()
    )


def availability() -> Availability:
    return Availability(BerthRepository(), Tariff())


def customer_service() -> CustomerService:
    return CustomerService(CustomerRepository(), CrmAdapter())


@lru_cache
def documents() -> Documents:
    return Documents(DocumentStore())


def reports() -> Reports:
    return Reports(Accounting())


async def current_customer(authorization: Annotated[str, Header()] = "") -> int:
    token = authorization.removeprefix("Bearer ")
    customer_id = get_redis().get(f"session:{token}")
    if not token or customer_id is None:
        raise NotLoggedIn("Please log in.")
    return int(customer_id)


Billing = Annotated[BillingService, Depends(billing_service)]
Bookings = Annotated[BookingService, Depends(booking_service)]
Customers = Annotated[CustomerService, Depends(customer_service)]
CurrentCustomer = Annotated[int, Depends(current_customer)]
