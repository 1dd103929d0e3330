"""What an invoice is. All money is in cents."""

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum


class InvoiceStatus(str, Enum):
    """Where an invoice stands."""

    OPEN = "open"
    PAID = "paid"
    VOID = "void"


@dataclass(frozen=True)
class InvoiceLine:
    """One thing to be paid for."""

    description: str
    quantity: int
    unit_cents: int

    @property
    def cents(self) -> int:
        """What the line comes to."""
        return self.quantity * self.unit_cents


@dataclass(frozen=True)
class Payment:
    """Money that arrived."""

    amount_cents: int
    method: str
    reference: str
    received_at: datetime | None = None


@dataclass
class Invoice:
    """An invoice with its lines and payments."""

    booking_id: int
    customer_id: int
    issued_on: date
    due_on: date
    number: str = ""
    id: int | None = None
    currency: str = "EUR"
    status: InvoiceStatus = InvoiceStatus.OPEN
    lines: list[InvoiceLine] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)

    @property
    def total_cents(self) -> int:
        """What the lines come to."""
        return sum(line.cents for line in self.lines)

    @property
    def paid_cents(self) -> int:
        """What the payments come to."""
        return sum(payment.amount_cents for payment in self.payments)

    @property
    def balance_cents(self) -> int:
        """What is open."""
        return self.total_cents - self.paid_cents
