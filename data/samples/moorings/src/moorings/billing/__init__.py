"""Invoices and payments."""

from .errors import AlreadyPaid, BillingError, DuplicateInvoice, InvoiceNotFound, Overpaid
from .models import Invoice, InvoiceLine, InvoiceStatus, Payment
from .repository import InvoiceRepository
from .service import BillingService

__all__ = [
    "AlreadyPaid",
    "BillingError",
    "BillingService",
    "DuplicateInvoice",
    "Invoice",
    "InvoiceLine",
    "InvoiceNotFound",
    "InvoiceRepository",
    "InvoiceStatus",
    "Overpaid",
    "Payment",
]
