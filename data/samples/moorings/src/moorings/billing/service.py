"""Issues invoices and takes payments.

Became asynchronous when the API did; the repository below it did not.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Protocol

import psycopg

from .errors import AlreadyPaid, DuplicateInvoice, InvoiceNotFound, Overpaid
from .models import Invoice, InvoiceLine, InvoiceStatus, Payment
from .repository import InvoiceRepository

logger = logging.getLogger(__name__)


class Gateway(Protocol):
    async def charge(self, cents: int, currency: str, card: str, reference: str) -> str: ...


class Mail(Protocol):
    async def send_async(self, to: str, subject: str, body: str) -> None: ...


class BillingService:
    def __init__(
        self,
        invoices: InvoiceRepository,
        gateway: Gateway,
        mail: Mail | None = None,
        *,
        attempts: int = 3,
    ) -> None:
        self.invoices = invoices
        self.gateway = gateway
        self.mail = mail
        self.attempts = attempts

    def _required(self, invoice_id: int) -> Invoice:
        invoice = self.invoices.get(invoice_id)
        if invoice is None:
            raise InvoiceNotFound(invoice_id)
        return invoice

    async def get(self, invoice_id: int) -> Invoice:
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
        """Number an invoice and store it. The number is used up even where storing fails."""
        today = on or date.today()
        invoice = Invoice(
            booking_id=booking_id,
            customer_id=customer_id,
            issued_on=today,
            due_on=today + timedelta(days=days),
            lines=list(lines),
            number=self.invoices.next_number(today.year),
        )
        for attempt in range(self.attempts):
            try:
                return self.invoices.add(invoice)
            except psycopg.errors.UniqueViolation as error:
                raise DuplicateInvoice(f"Invoice {invoice.number} exists.") from error
            except psycopg.OperationalError:
                logger.warning("invoice %s not stored, attempt %d", invoice.number, attempt + 1)
                time.sleep(0.2 * 2**attempt)
        raise RuntimeError(f"invoice {invoice.number} was not stored")

    async def record_payment(self, invoice_id: int, payment: Payment) -> Invoice:
        """Book a payment that arrived by itself, such as a transfer."""
        invoice = self._required(invoice_id)
        if invoice.status is InvoiceStatus.PAID:
            raise AlreadyPaid(f"Invoice {invoice.number} is paid.")
        if payment.amount_cents > invoice.balance_cents:
            raise Overpaid(f"Invoice {invoice.number} has {invoice.balance_cents} cents open.")
        settled = payment.amount_cents == invoice.balance_cents
        self.invoices.add_payment(invoice_id, payment)
        if settled:
            self.invoices.set_status(invoice_id, InvoiceStatus.PAID)
        return self._required(invoice_id)

    async def charge(self, invoice_id: int, card: str) -> Invoice:
        """Take what is open from a card."""
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

    def balance(self, customer_id: int) -> int:
        return sum(one.balance_cents for one in self.invoices.open_for_customer(customer_id))

    async def statement(self, customer_id: int) -> dict[str, object]:
        return {
            "customer": customer_id,
            "balance_cents": self.balance(customer_id),
            "invoices": [one.number for one in self.invoices.open_for_customer(customer_id)],
        }

    async def void(self, invoice_id: int) -> None:
        invoice = self._required(invoice_id)
        if invoice.payments:
            raise AlreadyPaid(f"Invoice {invoice.number} has payments.")
        self.invoices.set_status(invoice_id, InvoiceStatus.VOID)

    async def remind(self, addresses: dict[int, str], on: date | None = None) -> int:
        """Write to everyone whose invoice is overdue; return how many letters went out."""
        today = on or date.today()
        late = [one for one in self.invoices.overdue(today) if one.customer_id in addresses]
        if self.mail is None:
            return 0
        await asyncio.gather(
            *(
                self.mail.send_async(
                    addresses[one.customer_id],
                    f"Invoice {one.number} is overdue",
                    f"{one.balance_cents / 100:.2f} {one.currency} were due on {one.due_on}.",
                )
                for one in late
            ),
            return_exceptions=True,
        )
        return len(late)
