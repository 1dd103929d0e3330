"""Base scenes of lab 13's check: its card gateway, tracked billing calls, and the slow connection."""

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from loopclinic.lessons.core import Call, Calls, Ending, Judged, Kept, Loop, Place, Said, Stall
from loopclinic.lessons.core.stacks import defined_at, stands_at
from loopclinic.lessons.core.verdicts import broke, nested_loop
from loopclinic.lessons.database.postgres_verdicts import Served, blocked_on_line
from loopclinic.lessons.database.scenes import Database, DatabaseScene
from loopclinic.lessons.standardize.invoice_tables import lay_out
from loopclinic.lessons.standardize.static_check import Static
from loopclinic.units import count
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

# Kept from before a lab is imported, which may replace them.
_sleep, _Event = asyncio.sleep, asyncio.Event

_LONGEST = 60
"""Characters of a value that a sentence shows."""
_PAID = "select coalesce(sum(amount_cents), 0)::bigint from payment where invoice_id = %s"
_PAID_IN_FULL = """
    select count(*) from invoice where id = any(%s) and status = 'paid'
    and (select sum(quantity * unit_cents) from invoice_line where invoice_id = invoice.id)
      = (select sum(amount_cents) from payment where invoice_id = invoice.id)
"""


class CardDeclinedError(Exception):
    """The card processor refused."""


class CardGateway:
    """The gateway that a service is given: it answers when its gate is open."""

    def __init__(self) -> None:
        self.gate = _Event()
        self.gate.set()
        self.asked: list[str] = []
        self.fails: Exception | None = None
        """What it raises."""
        self.asked_at: Place | None = None
        """The learner's line that asked last."""

    async def charge(self, cents: int, currency: str, card: str, reference: str) -> str:
        """Charge the card for a reference, once however often it is asked."""
        del cents, currency, card
        self.asked_at = stands_at(sys._getframe(1))  # noqa: SLF001 - documented
        self.asked.append(reference)
        await self.gate.wait()
        await _sleep(0.01)
        if self.fails is not None:
            raise self.fails
        return f"ch_{reference}"

    async def all_ask(self, stage: "Stage", many: int, within: float) -> int:
        """Wait until so many have asked, for `within` seconds at most; return how many did."""

        async def asked() -> int:
            return len(self.asked)

        return await stage.until(asked, lambda asking: asking >= many, within)


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


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of a year's invoices, and how far its counter has come."""

    numbers: list[str]
    counted: int
    right: bool
    """Whether they count from 1 without gaps."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What every scene finds."""

    served: Served
    issued: tuple[Ending, ...] = ()
    """How the calls ended that issued the scene's invoices."""


class BillingScene(DatabaseScene):
    """The lab's billing opened for one scene, called, asked about at PostgreSQL, and closed."""

    block, closer, needs = "open_billing(...)", "open_billing", "charge"
    opening, free, closing = 1, 3, 1
    size: ClassVar[int] = 4
    year: ClassVar[int]
    """Of its invoices."""
    gateway: CardGateway
    _payments = 0

    async def drive(self, lab: ModuleType, stage: "Stage") -> Any:
        """Open billing, drive and close it."""
        return await self.serve(lab, stage, opener=defined_at(lab.open_billing))

    def open(self, dsn: str) -> Any:
        """Return the lab's billing, with a gateway of the scene's own."""
        self.gateway = CardGateway()
        return self._open(dsn)

    def _open(self, dsn: str) -> Any:
        return self.lab.open_billing(dsn, self.gateway, size=self.size)

    def reasons(self, found: Any, judged: Judged) -> Iterator[Said]:
        """Judge the invoices that were issued first, then the rest of what `meet` found."""
        late = [one for one in found.issued if not one.returned]
        if late and not judged.breaks(2, 3, 4):
            issues = count(len(found.issued), "issue")
            said = f"Of {issues} at once, {len(late)} did not return: one {late[0]}."
            step = "Let the next one wait for its number until the one before has committed."
            yield broke(4, said, step, late[0].place, timed=late[0].overdue)
        yield from self.judged(found, judged)

    def judged(self, found: Any, judged: Judged) -> Iterator[Said]:
        """Judge the rest of what `meet` found."""
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

    async def issued(self, found: Any, many: int) -> list[Any]:
        """Issue so many invoices at once and return those that came."""
        calls = self.issuing(many)
        found.issued = await calls.settled(2.0)
        return [call.value for call in calls.values() if call.value is not None]

    def paying(
        self, invoice: Any, cents: int, reference: str = "", *, service: Any = None
    ) -> BillingCall:
        """Begin to record a payment, under a reference of its own unless given.

        `service` is another one than the scene's.
        """
        BillingScene._payments += 1
        reference = reference or f"P-{BillingScene._payments}"
        payment = self.lab.Payment(cents, "transfer", reference)
        return BillingCall(service or self.service, "record_payment", invoice.id, payment)

    # PostgreSQL.

    def held(self, table: str) -> Any:
        """Hold a table while the context is open: it can be read, and nobody can write it."""
        return self.database.holding(f"lock table {table} in share mode")

    async def until_waiting(self, many: int, patience: float = 1.0) -> None:
        """Wait until so many of this scene's sessions wait for what is held."""
        await self.database.until_waiting(self.name, many, patience)

    async def end_sessions(self) -> None:
        """End this scene's sessions, whatever they are at."""
        await self.database.outside(self.database.monitor.end, self.name)

    async def paid(self, invoice: Any) -> int:
        """Return the cents that are stored as paid."""
        return int((await self.database.rows(_PAID, invoice.id))[0][0])

    async def paid_in_full(self, invoices: list[Any]) -> int:
        """Return how many of these are stored as paid in full."""
        keys = [one.id for one in invoices]
        return int((await self.database.rows(_PAID_IN_FULL, keys))[0][0])

    async def numbers(self, year: int = 0) -> Numbers:
        """Return the numbers of a year's invoices: of this scene's, unless given."""
        year = year or self.year
        query = "select number from invoice where number like %s order by 1"
        numbers = [row[0] for row in await self.database.rows(query, f"{year}-%")]
        query = "select last from invoice_counter where year = %s"
        counted = sum(row[0] for row in await self.database.rows(query, year))
        wanted = [f"{year}-{one:05d}" for one in range(1, len(numbers) + 1)]
        return Numbers(numbers[:20], counted, numbers == wanted)


class Line(BillingScene):
    """Each method, one after another, on a line where every wait for the database is long enough to see."""

    size, on_slow_line = 2, True
    title, promises = "each method on a slow line to the database", (1, 2, 3)

    @dataclass(frozen=True, slots=True)
    class Found(Opened):
        """How the methods did, and every time that the lab stopped the loop meanwhile."""

        endings: dict[str, Ending] = field(default_factory=dict)
        wrong: dict[str, Place | None] = field(default_factory=dict)
        """Sentences that are not true of the lab, and where the method stands."""
        loop: Loop | None = None
        stalls: tuple[Stall, ...] = ()

        def blocked(self) -> Iterator[Reason | Kept]:
            """Judge whether the loop waited for the slow line."""
            if self.loop is not None:
                step = "Use a driver that awaits (psycopg's AsyncConnectionPool, asyncpg), all the way up."
                calls, busy = "six calls, one after another,", self.loop.busy
                yield from blocked_on_line(self.stalls, busy, calls, promise=3, next_step=step)

    async def drive(self, lab: ModuleType, stage: "Stage") -> Any:
        await stage.outside(lay_out, stage.services["postgres"])
        return await self.serve(lab, stage, patience=5.0, opener=defined_at(lab.open_billing))

    async def meet(self, found: Any) -> None:
        stage, found.endings = self.stage, {}
        async with stage.watch_loop() as watch:

            async def ended(method: str, *args: Any, **options: Any) -> Any:
                call = self.call(method, *args, **options)
                watch.calls.append(call)
                found.endings[method] = await call.settled(3.0)
                return call.value

            true = await self._each(ended)
        methods = {what: getattr(type(self.service), what.split()[0], None) for what in true}
        found.wrong = {what: defined_at(methods[what]) for what in true if not true[what]}
        loop = found.loop = watch.found
        stage.vital(seconds_on_a_slow_line=round(loop.seconds, 3), loop_busy=round(loop.busy, 3))
        found.stalls = self.stalls()

    async def _each(self, ended: Any) -> dict[str, bool]:
        """Call each method and return what should be true of them, and whether it is."""
        customer = self.stage.rng.randrange(1000, 9000)
        lines, payment = self.lines((3, 1900), (1, 450)), self.lab.Payment(450, "transfer", "T-1")
        issued = await ended("issue", 7, customer, lines, on=date(2031, 3, 1), days=30)
        if (key := getattr(issued, "id", None)) is None:
            return {"issue gives an invoice with its id": False}
        paid = await ended("record_payment", key, payment)
        got = await ended("get", key)
        said = await ended("statement", customer)
        done = await ended("charge", key, "card")
        settled = await ended("statement", customer)
        open_ = {"customer": customer, "balance_cents": 5700, "invoices": [issued.number]}
        booked = [one.reference for one in getattr(paid, "payments", [])]
        received = [one.received_at for one in getattr(got, "payments", [])]
        status = getattr(getattr(done, "status", None), "value", None)
        sums = getattr(done, "total_cents", None), getattr(done, "paid_cents", None)
        return {
            "issue numbers by year and counts from 1": issued.number == "2031-00001",
            "issue sets due_on to so many days later": issued.due_on == date(2031, 3, 31),
            "get gives the lines in order": getattr(got, "lines", None) == lines,
            "get gives each payment with the time at which it came": None not in received,
            "record_payment gives the invoice with the payment": booked == ["T-1"],
            "statement gives customer, balance_cents and invoices": said == open_,
            "charge pays what is open and gives the invoice": (status, *sums)
            == ("paid", 6150, 6150),
            "statement leaves out what is paid": settled
            == {"customer": customer, "balance_cents": 0, "invoices": []},
            "charge_now is gone": not hasattr(self.service, "charge_now"),
        }

    def judged(self, found: "Line.Found", judged: Judged) -> Iterator[Reason | Kept]:
        nested = list(nested_loop(found.endings.values(), found.loop, promise=2))
        yield from nested
        if nested:
            return
        yield from found.blocked()
        bad = next((item for item in found.endings.items() if not item[1].returned), None)
        static = judged.found(Static)
        told = static is not None and any(one.name == "loop-per-call" for one in static.findings)
        wrong = [one for one in found.wrong if not (told and "charge_now" in one)]
        if bad is not None:
            name, ending = bad
            step = f"Let `{name}` be async, and give what it gave before."
            yield broke(2, f"`{name}` {ending}.", step, ending.place, timed=ending.overdue)
        elif wrong:
            step = "Keep what the methods promise; the contract names it."
            yield broke(2, f"No longer true: {wrong[0]}.", step, found.wrong[wrong[0]])
        elif not found.wrong:
            yield Kept(2)


class IssuingScene(BillingScene):
    """A scene that issues invoices first; one that holds locks is left out where the loop is not free."""

    holds_locks: ClassVar[bool] = True

    async def drive(self, lab: ModuleType, stage: "Stage") -> Any:
        line, database = stage.found(Line), await stage.shared(Database, stage)
        if line is None or database.stuck:
            return None
        late = any(one.overdue for one in line.endings.values())
        stopped = any(isinstance(one, Reason) for one in line.blocked())
        return None if self.holds_locks and (late or stopped) else await super().drive(lab, stage)

    @staticmethod
    def miscounted(
        found: Numbers | None, place: Place | None, judged: Judged
    ) -> Iterator[Reason | Kept]:
        """Judge the numbers of a year's invoices; at most one reason in all scenes."""
        if found is None or judged.breaks(3, 4):
            return
        many = len(found.numbers)
        # A counter that stands at 0 is not used: the numbers come from elsewhere.
        if found.right and found.counted in (0, many):
            yield Kept(4)
            return
        first = ", ".join(found.numbers[:4]) or "none"
        said = f"The counter came to {found.counted}, for {count(many, 'invoice')} ({first})."
        step = "Count and store in one transaction: what fails gives its number back."
        more = {"measured": f"{count(found.counted - many, 'number')} lost", "budget": "0 numbers"}
        yield broke(4, said, step, place, **more)
