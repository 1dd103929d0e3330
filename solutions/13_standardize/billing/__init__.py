"""Lab 13, solved: a driver that awaits, one transaction a call, errors of our own.

Three seams do it. `transactions.transaction` gives a repository on one connection: what is done with
it is done together or not at all, and what PostgreSQL refuses comes out in our words. The repository
never commits. The service decides what belongs together, and holds nothing while it asks others.
"""

from .errors import (
    AlreadyPaid,
    BillingError,
    BillingUnavailable,
    DuplicatePayment,
    InvalidInvoice,
    InvoiceNotFound,
    Overpaid,
)
from .models import Invoice, InvoiceLine, InvoiceStatus, Payment
from .service import BillingService
from .wiring import open_billing

__all__ = [
    "AlreadyPaid",
    "BillingError",
    "BillingService",
    "BillingUnavailable",
    "DuplicatePayment",
    "InvalidInvoice",
    "Invoice",
    "InvoiceLine",
    "InvoiceNotFound",
    "InvoiceStatus",
    "Overpaid",
    "Payment",
    "open_billing",
]
