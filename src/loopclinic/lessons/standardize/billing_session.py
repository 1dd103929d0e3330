"""What scenes of lab 13 share: the card gateway, calls of the service, the invoice tables, one scene's session."""

import asyncio
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from types import FrameType, ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from loopclinic.lessons.core import Call, Calls, Ending, Judged, Kept, Place, Scene
from loopclinic.lessons.core.call import defined_at, place_of
from loopclinic.lessons.core.connections import Served, closed, hung
from loopclinic.lessons.core.database import Database, NotOpenedError
from loopclinic.lessons.core.verdicts import at
from loopclinic.lessons.whereabouts import innermost
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

__all__ = [
    "BillingCall",
    "BillingScene",
    "CardDeclinedError",
    "CardGateway",
    "Invoice",
    "Issued",
    "Numbers",
    "Opened",
    "opened_everywhere",
]

# Kept from before a lab is imported, which may replace them.
_sleep, _Event = asyncio.sleep, asyncio.Event

_LONGEST = 60
"""Characters of a value that a sentence shows."""
_INVOICE = """
    select status, (select coalesce(sum(quantity * unit_cents), 0) from invoice_line
            where invoice_id = invoice.id)::bigint,
           (select coalesce(sum(amount_cents), 0) from payment where invoice_id = invoice.id)::bigint
    from invoice where id = %s
"""


class CardDeclinedError(Exception):
    """The card processor refused."""


class CardGateway:
    """The gateway that a service is given: it answers when its gate is open."""

    def __init__(self) -> None:
        self.gate = _Event()
        self.gate.set()
        self.asked: list[str] = []
        self.declines = False
        self.asked_at: Place | None = None
        """The learner's line that asked last."""

    async def charge(self, cents: int, currency: str, card: str, reference: str) -> str:
        """Charge the card for a reference, once however often it is asked."""
        del cents, currency, card
        self.asked_at = place_of(innermost(reversed([*_callers(sys._getframe(1))])))  # noqa: SLF001 - documented
        self.asked.append(reference)
        await self.gate.wait()
        await _sleep(0.01)
        if self.declines:
            raise CardDeclinedError("the card was declined")
        return f"ch_{reference}"

    async def all_ask(self, stage: "Stage", many: int, patience: float) -> int:
        """Wait until so many have asked, for `patience` seconds at most; return how many did."""
        ends = stage.clock() + patience
        while len(self.asked) < many and stage.clock() < ends:
            await _sleep(0.01)
        return len(self.asked)


def _callers(frame: FrameType | None) -> Iterator[tuple[FrameType, int]]:
    while frame is not None:
        yield frame, frame.f_lineno
        frame = frame.f_back


class BillingCall(Call):
    """A call of one of the service's methods; one without a line of its own has the method's."""

    def __init__(self, service: Any, method: str, *args: Any, **options: Any) -> None:
        self._method = getattr(type(service), method, None)
        super().__init__(lambda: getattr(service, method)(*args, **options), method)

    def shown(self, value: Any) -> str:
        """Return the value's repr, or its class where that is long."""
        text = super().shown(value)
        return text if len(text) <= _LONGEST else f"{type(value).__name__}(...)"

    def ending(self, *, since: float | None = None) -> Ending:
        """Return how it ended, with the line where it raised or waited, or its method's."""
        found = super().ending(since=since)
        return replace(found, place=found.place or defined_at(self._method))


# What the tables hold.


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice as it is stored; cents."""

    status: str
    total: int
    paid: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of a year's invoices, and how far its counter has come."""

    numbers: list[str]
    counted: int
    right: bool
    """Whether they count from 1 without gaps."""


# A scene.


@dataclass(frozen=True, slots=True)
class Opened:
    """What every scene finds."""

    served: Served
    opener: Place | None
    """Where `open_billing` is defined."""


@dataclass(frozen=True, slots=True)
class Issued(Opened):
    """What a scene finds that issues invoices first."""

    issued: tuple[Ending, ...] = ()
    """How these calls ended."""


class BillingScene(Scene[Any]):
    """The lab's billing opened for one scene, called, asked about at PostgreSQL, and closed."""

    size: ClassVar[int] = 4
    year: ClassVar[int]
    """Of its invoices."""
    stage: "Stage"
    database: Database
    gateway: CardGateway
    lab: Any
    service: Any
    _payments = 0

    async def serve(self, lab: ModuleType, stage: "Stage", **options: Any) -> Any:
        """Open billing, do what the scene does, close it, and return the finding."""
        self.lab, self.stage, self.gateway = lab, stage, CardGateway()
        self.database = await stage.shared(Database, stage)

        def opens(dsn: str) -> Any:
            return lab.open_billing(dsn, self.gateway, size=self.size)

        found = SimpleNamespace()
        try:
            async with self.database.serve(self.name, opens, needs="charge", **options) as service:
                self.service = service.value
                await self.meet(found)
                self.gateway.gate.set()
        except NotOpenedError as error:
            return self.Found(Served(opening=error.ending), defined_at(lab.open_billing))
        return self.Found(service.found, defined_at(lab.open_billing), **vars(found))

    async def meet(self, found: Any) -> None:
        """Drive the service and set the finding's attributes, but `served` and `opener`."""
        raise NotImplementedError

    def judge(self, found: Any, judged: Judged) -> Iterator[Reason | Kept]:
        """Judge how it opened and closed, and between the two what `meet` found."""
        served: Served = found.served
        if served.opening is not None:
            yield Reason(
                f"`async with open_billing(dsn, gateway, size=...)` gave no service: it {served.opening}.",
                **at(served.opening.place or found.opener),
                promise=1,
                timed=served.opening.overdue,
                next_step="Let it open the pool and give a BillingService; all other steps need one.",
            )
        elif served.stuck is not None:
            # What else there is to see of calls that were broken off was the rescue's doing.
            if not judged.has(served.stuck.stall.conflict or "blocking-db"):
                yield hung(served.stuck, promise=3)
        else:
            if not judged.has("nested-loop"):
                yield from self.reasons(found, judged)
            if not judged.has("unclosed-resource", "transaction-left-open"):
                yield from closed(
                    served, "open_billing(...)", "open_billing", promise=1, place=found.opener
                )

    def reasons(self, found: Any, judged: Judged) -> Iterator[Reason | Kept]:
        """Judge what `meet` found."""
        raise NotImplementedError

    # Calls.

    def call(self, method: str, *args: Any, **options: Any) -> BillingCall:
        """Begin a call of one of the service's methods."""
        return BillingCall(self.service, method, *args, **options)

    def lines(self, *lines: tuple[int, int]) -> list[Any]:
        """Return lines of an invoice, each of a quantity and cents."""
        return [self.lab.InvoiceLine("a night", quantity, cents) for quantity, cents in lines]

    def issuing(self, many: int) -> Calls[int]:
        """Begin to issue so many invoices of two lines at once."""
        lines, day = self.lines((2, 1900), (1, 450)), date(self.year, 5, 1)
        return Calls((one, self.call("issue", 7, 11, lines, on=day)) for one in range(many))

    async def issued(self, many: int) -> tuple[list[Any], list[Ending]]:
        """Issue so many invoices at once; return those that came, and how each call ended."""
        calls = self.issuing(many)
        endings = await calls.settled(2.0)
        return [call.value for call in calls.values() if call.value is not None], endings

    def paying(self, invoice: Any, cents: int, reference: str = "") -> BillingCall:
        """Begin to record a payment, under a reference of its own unless given."""
        BillingScene._payments += 1
        reference = reference or f"P-{BillingScene._payments}"
        payment = self.lab.Payment(cents, "transfer", reference)
        return self.call("record_payment", invoice.id, payment)

    # PostgreSQL.

    def held(self, table: str) -> Any:
        """While the context is open, nobody can write this table; it can be read."""
        return self.database.holding(f"lock table {table} in share mode")

    async def until_waiting(self, many: int, patience: float = 1.0) -> None:
        """Wait until so many of this scene's sessions wait for what is held."""
        await self.database.until_waiting(self.name, many, patience)

    async def end_sessions(self) -> None:
        """End this scene's sessions, whatever they are at."""
        await self.database.outside(self.database.monitor.end, self.name)

    async def stored(self, invoice: Any) -> Invoice | None:
        """Return an invoice as it is stored."""
        rows = await self.database.rows(_INVOICE, invoice.id)
        return Invoice(*rows[0]) if rows else None

    async def paid(self, invoice: Any) -> int:
        """Return the cents that are stored as paid."""
        entry = await self.stored(invoice)
        return entry.paid if entry is not None else 0

    async def numbers(self, year: int = 0) -> Numbers:
        """Return the numbers of a year's invoices: of this scene's, unless given."""
        year = year or self.year
        query = "select number from invoice where number like %s order by 1"
        numbers = [row[0] for row in await self.database.rows(query, f"{year}-%")]
        query = "select last from invoice_counter where year = %s"
        counted = sum(row[0] for row in await self.database.rows(query, year))
        wanted = [f"{year}-{one:05d}" for one in range(1, len(numbers) + 1)]
        return Numbers(numbers[:20], counted, numbers == wanted)


def opened_everywhere(found: Iterable[Any]) -> bool:
    """Whether billing opened in all of these findings, and no call had to be broken off."""
    served = [one.served for one in found]
    return all(one.opening is None and one.stuck is None for one in served)
