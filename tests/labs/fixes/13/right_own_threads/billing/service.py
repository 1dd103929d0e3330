"""What billing does; each unit of work is a plain function that a thread runs."""

from datetime import date, timedelta

from .errors import AlreadyPaid, InvoiceNotFound, Overpaid
from .models import Invoice, InvoiceStatus, Payment


class BillingService:
    def __init__(self, units, gateway):
        self.units = units
        self.gateway = gateway

    async def get(self, invoice_id):
        return await self.units.do(lambda rows: required(rows, invoice_id))

    async def issue(self, booking_id, customer_id, lines, *, on=None, days=14):
        today = on or date.today()
        invoice = Invoice(
            booking_id, customer_id, today, today + timedelta(days=days), lines=list(lines)
        )
        return await self.units.do(lambda rows: rows.issue(invoice, today.year))

    async def record_payment(self, invoice_id, payment):
        return await self.units.do(lambda rows: pay(rows, invoice_id, payment))

    async def charge(self, invoice_id, card):
        invoice = await self.get(invoice_id)
        expect_open(invoice)
        cents = invoice.balance_cents
        charge = await self.gateway.charge(cents, invoice.currency, card, invoice.number)
        return await self.record_payment(invoice_id, Payment(cents, "card", charge))

    async def statement(self, customer_id):
        found = await self.units.do(
            lambda rows: rows.found("customer_id = %s and status = 'open' order by id", customer_id)
        )
        return {
            "customer": customer_id,
            "balance_cents": sum(one.balance_cents for one in found),
            "invoices": [one.number for one in found],
        }


def required(rows, invoice_id, lock=""):
    found = rows.found(f"id = %s{lock}", invoice_id)
    if not found:
        raise InvoiceNotFound(invoice_id)
    return found[0]


def expect_open(invoice):
    if invoice.status is not InvoiceStatus.OPEN:
        raise AlreadyPaid(f"Invoice {invoice.number} is {invoice.status.value}.")


def pay(rows, invoice_id, payment):
    invoice = required(rows, invoice_id, " for update")
    expect_open(invoice)
    if payment.amount_cents > invoice.balance_cents:
        raise Overpaid(f"Invoice {invoice.number} has {invoice.balance_cents} cents open.")
    settled = payment.amount_cents == invoice.balance_cents
    rows.pay(invoice_id, payment, InvoiceStatus.PAID if settled else InvoiceStatus.OPEN)
    return required(rows, invoice_id)
