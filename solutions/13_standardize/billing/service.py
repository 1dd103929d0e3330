"""Issues invoices and takes payments."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date, timedelta
from typing import Protocol

from .errors import AlreadyPaid, InvoiceNotFound, Overpaid
from .models import Invoice, InvoiceLine, InvoiceStatus, Payment
from .repository import InvoiceRepository

Transaction = Callable[[], AbstractAsyncContextManager[InvoiceRepository]]


class Gateway(Protocol):
    """The card processor. It takes the money for a reference once, however often it is asked."""

    async def charge(self, cents: int, currency: str, card: str, reference: str) -> str:
        """Take the money; return the processor's id of the charge."""
        ...


class BillingService:
    """What billing does; each `async with self.transaction()` is done as a whole or not at all."""

    def __init__(self, transaction: Transaction, gateway: Gateway) -> None:
        self.transaction = transaction
        self.gateway = gateway

    async def get(self, invoice_id: int) -> Invoice:
        """Return an invoice; InvoiceNotFound where there is none."""
        async with self.transaction() as invoices:
            return await required(invoices, invoice_id)

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
        today = on or date.today()  # noqa: DTZ011 - the harbor's day, and its office closes at night
        async with self.transaction() as invoices:
            return await invoices.add(
                Invoice(
                    booking_id=booking_id,
                    customer_id=customer_id,
                    issued_on=today,
                    due_on=today + timedelta(days=days),
                    lines=list(lines),
                    number=await invoices.next_number(today.year),
                )
            )

    async def record_payment(self, invoice_id: int, payment: Payment) -> Invoice:
        """Book a payment that arrived by itself, such as a transfer; return the invoice with it."""
        async with self.transaction() as invoices:
            # Locked: of two payments at once, the second sees what the first has left open.
            invoice = await required(invoices, invoice_id, for_update=True)
            expect_open(invoice)
            if payment.amount_cents > invoice.balance_cents:
                raise Overpaid(f"Invoice {invoice.number} has {invoice.balance_cents} cents open.")
            settled = payment.amount_cents == invoice.balance_cents
            await invoices.add_payment(invoice_id, payment)
            if settled:
                await invoices.set_status(invoice_id, InvoiceStatus.PAID)
            return await required(invoices, invoice_id)

    async def charge(self, invoice_id: int, card: str) -> Invoice:
        """Take what is open from a card, with the invoice's number as reference, and book it."""
        invoice = await self.get(invoice_id)
        expect_open(invoice)
        cents = invoice.balance_cents
        # Between two transactions: the gateway takes its time, and nobody waits for it but us.
        charge = await self.gateway.charge(cents, invoice.currency, card, invoice.number)
        return await self.record_payment(invoice_id, Payment(cents, "card", charge))

    async def statement(self, customer_id: int) -> dict[str, object]:
        """Return `customer`, `balance_cents`, and the numbers of the open `invoices`."""
        async with self.transaction() as invoices:
            found = await invoices.open_for_customer(customer_id)
        return {
            "customer": customer_id,
            "balance_cents": sum(one.balance_cents for one in found),
            "invoices": [one.number for one in found],
        }


async def required(
    invoices: InvoiceRepository, invoice_id: int, *, for_update: bool = False
) -> Invoice:
    """Return an invoice.

    Raises:
        InvoiceNotFound: there is none.
    """
    invoice = await invoices.get(invoice_id, for_update=for_update)
    if invoice is None:
        raise InvoiceNotFound(invoice_id)
    return invoice


def expect_open(invoice: Invoice) -> None:
    """Refuse what is paid or void.

    Raises:
        AlreadyPaid: it is.
    """
    if invoice.status is not InvoiceStatus.OPEN:
        raise AlreadyPaid(f"Invoice {invoice.number} is {invoice.status.value}.")
