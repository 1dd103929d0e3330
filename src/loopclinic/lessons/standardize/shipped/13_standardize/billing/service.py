"""Issues invoices and takes payments."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Protocol

from .errors import AlreadyPaid, InvoiceNotFound, Overpaid
from .models import Invoice, InvoiceLine, InvoiceStatus, Payment
from .repository import InvoiceRepository

logger = logging.getLogger(__name__)


class Gateway(Protocol):
    """The card processor. It takes the money for a reference once, however often it is asked."""

    async def charge(self, cents: int, currency: str, card: str, reference: str) -> str: ...


class BillingService:
    def __init__(self, invoices: InvoiceRepository, gateway: Gateway) -> None:
        self.invoices = invoices
        self.gateway = gateway

    async def get(self, invoice_id: int) -> Invoice:
        """Return an invoice; InvoiceNotFound where there is none."""
        return self._required(invoice_id)

    async def issue(
        self,
        booking_id: int,
        customer_id: int,
        lines: Sequence[InvoiceLine],
        *,
        on: date | None = None,
        days: int = 14,
    ) -> Invoice:
        """Number an invoice, without gaps within its year, store it, and return it."""
        today = on or date.today()
        return self.invoices.add(
            Invoice(
                booking_id=booking_id,
                customer_id=customer_id,
                issued_on=today,
                due_on=today + timedelta(days=days),
                lines=list(lines),
                number=self.invoices.next_number(today.year),
            )
        )

    async def record_payment(self, invoice_id: int, payment: Payment) -> Invoice:
        """Book a payment that arrived by itself, such as a transfer; return the invoice with it."""
        invoice = self._required(invoice_id)
        if invoice.status is not InvoiceStatus.OPEN:
            raise AlreadyPaid(f"Invoice {invoice.number} is {invoice.status.value}.")
        if payment.amount_cents > invoice.balance_cents:
            raise Overpaid(f"Invoice {invoice.number} has {invoice.balance_cents} cents open.")
        settled = payment.amount_cents == invoice.balance_cents
        self.invoices.add_payment(invoice_id, payment)
        if settled:
            self.invoices.set_status(invoice_id, InvoiceStatus.PAID)
        return self._required(invoice_id)

    async def charge(self, invoice_id: int, card: str) -> Invoice:
        """Take what is open from a card, with the invoice's number as reference, and book it."""
        invoice = self._required(invoice_id)
        if invoice.status is not InvoiceStatus.OPEN:
            raise AlreadyPaid(f"Invoice {invoice.number} is {invoice.status.value}.")
        cents = invoice.balance_cents
        try:
            charge = await self.gateway.charge(cents, invoice.currency, card, invoice.number)
        except BaseException:
            logger.exception("charging %s failed", invoice.number)
            return invoice
        return await self.record_payment(invoice_id, Payment(cents, "card", charge))

    def charge_now(self, invoice_id: int, card: str) -> Invoice:
        """For the desk at the harbor, which is not asynchronous."""
        return asyncio.run(self.charge(invoice_id, card))

    async def statement(self, customer_id: int) -> dict[str, object]:
        """Return `customer`, `balance_cents`, and the numbers of the open `invoices`."""
        invoices = self.invoices.open_for_customer(customer_id)
        return {
            "customer": customer_id,
            "balance_cents": sum(one.balance_cents for one in invoices),
            "invoices": [one.number for one in invoices],
        }

    def _required(self, invoice_id: int) -> Invoice:
        invoice = self.invoices.get(invoice_id)
        if invoice is None:
            raise InvoiceNotFound(invoice_id)
        return invoice
