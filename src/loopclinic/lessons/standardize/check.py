"""The check of lab 13: billing on a slow line, many calls at once, cancels, refusals; then tests and a scan."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from loopclinic.lessons.core import Call, Calls, Check, Ending, Judged, Kept, Loop, Place, Stall
from loopclinic.lessons.core.call import defined_at
from loopclinic.lessons.core.connections import blocked_on_line, saturated
from loopclinic.lessons.core.database import Database, in_pool, stall_of
from loopclinic.lessons.core.verdicts import at, nested_loop
from loopclinic.lessons.lesson import Budget
from loopclinic.lessons.standardize.billing_session import (
    BillingScene,
    CardDeclinedError,
    Issued,
    Numbers,
    Opened,
    opened_everywhere,
)
from loopclinic.lessons.standardize.books import lay_out
from loopclinic.lessons.standardize.static_check import Static
from loopclinic.lessons.wording import span
from loopclinic.units import count
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

__all__ = ["CANCEL", "CHECK", "CONNECTIONS", "STALL", "THREAD"]

STALL = Budget(
    0.5,
    "x the line there and back",
    "A right answer never stops the loop for the database; one that waits there does so for a whole "
    "round trip at every statement.",
)
THREAD = Budget(
    0.25,
    "s",
    "A right answer leaves the default executor alone, where a thread is there in a millisecond; one "
    "that fills it makes others wait for as long as the database takes.",
)
CONNECTIONS = Budget(1.0, "x size", "A count, at PostgreSQL: sessions at one moment.")
CANCEL = Budget(
    0.5,
    "s",
    "A right answer takes some milliseconds, PostgreSQL's part included; one that waits for its "
    "statement takes until the statement is done.",
)

_LINE = 0.08
"""Seconds there and back."""
_HELD = 0.4
"""Seconds for which the database holds up all who want to book."""
_ASK = 1.2
"""Seconds that charges get until all ask; a right answer needs some milliseconds."""
_TWO = 2
_NOWHERE = 987_654_321
"""The id of no invoice."""
_REFUSALS = {"AlreadyPaid", "Overpaid"}
_DRIVERS = {"Error", "PostgresError", "InterfaceError", "OSError"}
"""Base classes of what psycopg and asyncpg raise."""


class Line(BillingScene):
    """Each method, one after another, on a line where every wait for the database is long enough to see."""

    size = 2
    title, promises = "each method on a slow line to the database", (1, 2, 3)

    @dataclass(frozen=True, slots=True)
    class Found(Opened):
        """How the methods did, and every time that the lab stopped the loop meanwhile."""

        endings: dict[str, Ending] = field(default_factory=dict)
        wrong: dict[str, Place | None] = field(default_factory=dict)
        """Sentences that are not true of the lab, and where the method stands."""
        loop: Loop | None = None
        stalls: tuple[Stall, ...] = ()

    async def drive(self, lab: ModuleType, stage: "Stage") -> "Line.Found":
        await stage.outside(lay_out, stage.services["postgres"])
        database = await stage.shared(Database, stage)
        self._began = stage.probe.snapshot().at  # how it opens counts, too
        async with database.slow_line(_LINE) as dsn:
            found: Line.Found = await self.serve(lab, stage, dsn=dsn, patience=5.0)
        return found

    async def meet(self, found: Any) -> None:
        stage, found.endings = self.stage, {}
        async with stage.watch_loop() as watch:

            async def ended(method: str, *args: Any, **options: Any) -> Any:
                call = self.call(method, *args, **options)
                watch.calls.append(call)
                found.endings[method] = await call.settled(3.0)
                return call.value

            wrong = await self._each(ended)
        methods = {one: getattr(type(self.service), one.split()[0], None) for one in wrong}
        found.wrong = {what: defined_at(method) for what, method in methods.items()}
        loop = found.loop = watch.found
        stage.vital(seconds_on_a_slow_line=round(loop.seconds, 3), loop_busy=round(loop.busy, 3))
        stalls = (stall_of(one) for one in stage.probe.stalls if one.started >= self._began)
        found.stalls = [one for one in stalls if one is not None]

    async def _each(self, ended: Any) -> list[str]:
        """Call each method and return what is not true of them."""
        customer = self.stage.rng.randrange(1000, 9000)
        lines, payment = self.lines((3, 1900), (1, 450)), self.lab.Payment(450, "transfer", "T-1")
        issued = await ended("issue", 7, customer, lines, on=date(2031, 3, 1))
        key = getattr(issued, "id", None)
        if key is None:
            return ["issue gives an invoice with its id"]
        got = await ended("get", key)
        paid = await ended("record_payment", key, payment)
        said = await ended("statement", customer)
        done = await ended("charge", key, "card")
        open_ = {"customer": customer, "balance_cents": 5700, "invoices": [issued.number]}
        booked = [one.reference for one in getattr(paid, "payments", [])]
        sums = getattr(done, "total_cents", None), getattr(done, "paid_cents", None)
        status = getattr(getattr(done, "status", None), "value", None)
        return [
            what
            for what, true in (
                ("issue numbers by year and counts from 1", issued.number == "2031-00001"),
                ("get gives the lines in order", getattr(got, "lines", None) == lines),
                ("record_payment gives the invoice with the payment", booked == ["T-1"]),
                ("statement gives customer, balance_cents and invoices", said == open_),
                (
                    "charge pays what is open and gives the invoice",
                    (status, *sums) == ("paid", 6150, 6150),
                ),
                ("charge_now is gone", not hasattr(self.service, "charge_now")),
            )
            if not true
        ]

    def reasons(self, found: "Line.Found", judged: Judged) -> Iterator[Reason | Kept]:
        nested = list(nested_loop(found.endings.values(), found.loop, promise=2))
        yield from nested
        if nested:
            return
        yield from blocked(found)
        bad = next((item for item in found.endings.items() if not item[1].returned), None)
        static = judged.found(Static)
        told = static is not None and any(one.name == "loop-per-call" for one in static.findings)
        wrong = [one for one in found.wrong if not (told and "charge_now" in one)]
        if bad is not None:
            name, ending = bad
            yield Reason(
                f"`{name}` {ending}.",
                **at(ending.place),
                promise=2,
                timed=ending.overdue,
                next_step=f"Let `{name}` be async, and give what it gave before.",
            )
        elif wrong:
            yield Reason(
                f"Not so: {wrong[0]}.",
                **at(found.wrong[wrong[0]]),
                promise=2,
                next_step="Keep what the methods promise; the contract names it.",
            )
        elif not found.wrong:
            yield Kept(2)


def blocked(found: Line.Found) -> Iterator[Reason | Kept]:
    """Judge whether the loop waited for the slow line."""
    if found.loop is not None:
        yield from blocked_on_line(
            found.stalls,
            _LINE,
            STALL,
            found.loop.busy,
            "five calls, one after another,",
            promise=3,
            next_step="Use a driver that awaits (psycopg's AsyncConnectionPool, asyncpg), all the way up.",
        )


class _Issuing(BillingScene):
    """A scene that issues invoices first; one that holds locks is left out where the loop is not free."""

    holds_locks: ClassVar[bool] = True

    async def drive(self, lab: ModuleType, stage: "Stage") -> Any:
        line = stage.found(Line)
        before = [one for scene in CHECK.scenes if (one := stage.found(type(scene))) is not None]
        if line is None or not opened_everywhere(before):
            return None
        late = any(one.overdue for one in line.endings.values())
        stopped = any(isinstance(one, Reason) for one in blocked(line))
        return None if self.holds_locks and (late or stopped) else await self.serve(lab, stage)

    def reasons(self, found: Any, judged: Judged) -> Iterator[Reason | Kept]:
        late = [one for one in found.issued if not one.returned]
        if late and not judged.breaks(2, 3, 4):
            yield Reason(
                f"Of {count(len(found.issued), 'issue')} at once, {len(late)} did not return: one {late[0]}.",
                **at(late[0].place),
                promise=4,
                timed=late[0].overdue,
                next_step="Let the next one wait for its number until the one before has committed.",
            )
        yield from self.judged(found, judged)

    def judged(self, found: Any, judged: Judged) -> Iterator[Reason | Kept]:
        """Judge the rest of what `meet` found."""
        raise NotImplementedError

    def miscounted(
        self, found: Numbers | None, place: Place | None, judged: Judged
    ) -> Iterator[Reason | Kept]:
        """Judge the numbers of a year's invoices; at most one reason in all scenes."""
        # A counter that stands at 0 is not used: the numbers come from elsewhere.
        if found is None or judged.breaks(3, 4):
            return
        many = len(found.numbers)
        if found.right and found.counted in (0, many):
            yield Kept(4)
            return
        yield Reason(
            f"The counter came to {found.counted}, for {count(many, 'invoice')} "
            f"({', '.join(found.numbers[:4]) or 'none'}).",
            measured=f"{found.counted - many} numbers lost",
            budget="0 numbers",
            **at(place),
            promise=4,
            next_step="Count and store in one transaction: what fails gives its number back.",
        )


class Crowd(_Issuing):
    """More charges than connections: all get to ask the gateway, then all want to book at once."""

    charges, year = 10, 2032
    title, promises = (
        f"{charges} charges at once, with {BillingScene.size} connections",
        (1, 3, 4, 6),
    )

    @dataclass(frozen=True, slots=True)
    class Found(Issued):
        """What became of the charges, and what PostgreSQL saw of them."""

        numbers: Numbers | None = None
        asking: int = 0
        holding: int = 0
        """Sessions that had a transaction open meanwhile."""
        in_pool: bool = False
        """Whether a charge that did not ask waited in a pool for a connection."""
        asks_at: Place | None = None
        thread: float | None = None
        """Seconds that asyncio.to_thread took at worst while the database held all up."""
        books_at: Place | None = None
        endings: tuple[Ending, ...] = ()
        unpaid: int = 0
        peak: int = 0
        """The most sessions at one moment."""
        most_active: int = 0
        """The most that had a statement under way at one moment."""

    async def meet(self, found: Any) -> None:
        async with self.database.watch(self.name) as seen:
            invoices, found.issued = await self.issued(self.charges)
            found.numbers = await self.numbers()
            gate = self.gateway.gate
            gate.clear()
            calls = Calls((one.id, self.call("charge", one.id, "card")) for one in invoices)
            found.asking = await self.gateway.all_ask(self.stage, len(calls), _ASK)
            sessions = await self.database.sessions(self.name)
            found.holding = sum(one.in_transaction for one in sessions)
            found.asks_at = calls.look()
            found.in_pool = any(in_pool(call) for call in calls.values())
            if found.asking >= len(calls):
                async with self.held("payment"):
                    gate.set()
                    found.thread = await self.database.slowest_thread(_HELD)
                    found.books_at = calls.look()
            gate.set()
            found.endings = await calls.settled(2.0)
        stored = [await self.stored(one) for one in invoices]
        found.unpaid = sum(
            one is None or one.status != "paid" or one.paid != one.total for one in stored
        )
        found.peak, found.most_active = seen.peak, seen.most_active

    def judged(self, found: "Crowd.Found", judged: Judged) -> Iterator[Reason | Kept]:
        yield from self._starved(found)
        yield from self._threads(found)
        if found.peak > CONNECTIONS.limit * self.size:
            yield Reason(
                f"PostgreSQL saw {found.peak} connections at one moment; size was {self.size}.",
                conflict="too-many-connections",
                measured=count(found.peak, "connection"),
                budget=count(self.size, "connection"),
                **at(found.books_at or found.asks_at or found.opener),
                promise=1,
                next_step="Open one pool in open_billing, and take every connection from it.",
            )
        issue = found.issued[0].place if found.issued else None
        yield from self.miscounted(found.numbers, issue, judged)
        slow = judged.has("executor-saturation", "sequential-awaits", "pool-starvation")
        wrong = [one for one in found.endings if not one.returned]
        charges = count(len(found.endings), "charge")
        if wrong and not slow:
            yield Reason(
                f"Of {charges} at once, {len(wrong)} did not return: one {wrong[0]}.",
                **at(wrong[0].place),
                promise=2,
                timed=wrong[0].overdue,
                next_step="Let calls wait for a connection, and share none between two at once.",
            )
        elif found.unpaid and not slow:
            yield Reason(
                f"Of {charges} that returned, {found.unpaid} are not stored as paid in full.",
                **at(found.endings[0].place),
                promise=4,
                next_step="Book the payment and set the status in one transaction, and commit it.",
            )

    def _starved(self, found: "Crowd.Found") -> Iterator[Reason | Kept]:
        """Judge charges that hold what others need while they ask."""
        if len(found.endings) < self.charges:
            return  # there is a reason why not all were issued
        if found.asking >= self.charges and not found.holding:  # it may ask again
            yield Kept(6)
            return
        if found.asking < self.charges:
            seen = (
                f"Only {found.asking} of {self.charges} charges got to ask the gateway, with "
                f"{count(self.size, 'connection')}"
            )
        else:
            seen = f"While {count(self.charges, 'charge')} asked the gateway"
        starved = found.holding or found.in_pool
        yield Reason(
            f"{seen}: PostgreSQL saw {count(found.holding, 'transaction')} open.",
            conflict="pool-starvation" if starved else "sequential-awaits",
            measured=count(found.holding, "open transaction"),
            budget="0 while the gateway is asked",
            **at(found.asks_at),
            promise=6,
            next_step="Read and give the connection back, ask, then take one again and book.",
        )

    def _threads(self, found: "Crowd.Found") -> Iterator[Reason | Kept]:
        if found.thread is None:
            return
        verdict = next(
            saturated(
                found.thread, THREAD, "charges waited for the database", found.books_at, promise=3
            )
        )
        yield verdict
        if isinstance(verdict, Kept) and found.most_active < _TWO:
            yield Reason(
                f"Of {count(self.charges, 'charge')} that had work for the database, one at a time "
                "was at it.",
                conflict="sequential-awaits",
                measured="1 connection at work",
                budget=f"up to {self.size}",
                **at(found.books_at),
                promise=1,
                next_step="Let each call take a connection of its own; no lock around them all.",
            )


@dataclass(frozen=True, slots=True)
class Cancel:
    """Some calls that were cancelled, and what PostgreSQL had of them when they had ended."""

    endings: tuple[Ending, ...]
    open: int
    """Sessions that still had a transaction after `seconds`."""
    seconds: float
    place: Place | None
    """Where one waited when it was cancelled."""
    early: int = 0
    """Rows, or cents, that others could see before it was cancelled."""
    stored: int = 0
    """Invoices, or cents, that were stored all the same."""


class Cancelled(_Issuing):
    """Cancelled while it stores, while it pays and while the gateway is asked; then the next ones' turn."""

    size, year = 2, 2034
    title, promises = "calls that are cancelled while they store or ask", (1, 4, 7)

    @dataclass(frozen=True, slots=True)
    class Found(Issued):
        """What became of those cancelled, and of those that followed."""

        issue: Cancel | None = None
        payment: Cancel | None = None
        charge: Cancel | None = None
        after: tuple[Ending, ...] = ()
        numbers: Numbers | None = None

    async def meet(self, found: Any) -> None:
        stage = self.stage
        async with self.held("invoice_line"):
            calls = self.issuing(2)
            await self.until_waiting(2)
            early = await self.numbers()
            found.issue = await self._cancel(calls, early=len(early.numbers) + early.counted)
        if found.issue.open:
            return  # what these left open would be in the way of the next
        await stage.sleep(0.15)  # what went on comes to its end
        found.issue = replace(found.issue, stored=len((await self.numbers()).numbers))
        invoices, found.issued = await self.issued(2)
        if len(invoices) < _TWO:
            return
        first, second = invoices
        async with self.held("invoice"):
            paying = Calls({0: self.paying(first, first.total_cents)})
            await self.until_waiting(1)
            found.payment = await self._cancel(paying, early=await self.paid(first))
        if found.payment.open:
            return
        await stage.sleep(0.1)
        found.payment = replace(found.payment, stored=await self.paid(first))
        self.gateway.gate.clear()
        calls = Calls({0: self.call("charge", second.id, "card")})
        await self.gateway.all_ask(stage, 1, 1.0)
        found.charge = await self._cancel(calls)
        self.gateway.gate.set()
        await stage.sleep(0.1)
        found.charge = replace(found.charge, stored=await self.paid(second))
        found.after = await self.issuing(3).settled(1.2)
        found.numbers = await self.numbers()

    async def _cancel(self, calls: Calls[int], *, early: int = 0) -> Cancel:
        """Cancel these, and ask PostgreSQL what is left."""
        place = calls.look()
        endings = tuple(await calls.cancelled(CANCEL.limit))
        seconds, left = await self.database.forgotten(self.name, CANCEL.limit)
        return Cancel(endings, len(left), seconds, place, early)

    def judged(self, found: "Cancelled.Found", judged: Judged) -> Iterator[Reason | Kept]:
        issue, payment, charge = found.issue, found.payment, found.charge
        for case, what, of in ((issue, "an invoice", "row"), (payment, "a payment", "cent")):
            if case is not None and case.early and not judged.breaks(4):
                yield Reason(
                    f"While {what} was being stored, others could already see a part of it.",
                    measured=count(case.early, of),
                    budget=f"0 {of}s before its commit",
                    **at(case.place),
                    promise=4,
                    next_step="Number, invoice and lines in one transaction, committed once at the end."
                    if case is issue
                    else "Payment and status in one transaction, committed once at the end.",
                )
        yield from self.miscounted(found.numbers, issue.place if issue else None, judged)
        for case, doing, unit in (
            (issue, "an issue that stored", "invoice"),
            (payment, "a payment that stored", "cent"),
            (charge, "a charge that asked", "cent"),
        ):
            if case is not None and not judged.breaks(7):
                yield from self._case(case, doing, unit)
        stuck = next((one for one in found.after if not one.returned), None)
        if stuck is not None and not (issue and issue.stored):
            yield Reason(
                f"After cancelled calls, the next one {stuck}.",
                # One that waits has no connection to work with; one that raised says itself what it lacks.
                conflict="unclosed-resource" if stuck.overdue else None,
                **at(stuck.place),
                promise=7,
                timed=stuck.overdue,
                next_step="Give the connection back in `finally`, whatever happened.",
            )
        elif found.after:
            yield Kept(7)

    def _case(self, case: Cancel, doing: str, unit: str) -> Iterator[Reason]:
        """Judge what cancelled calls did, and what they left; at most one reason."""
        bad = next((one for one in case.endings if one.how != "cancelled"), None)
        common: dict[str, Any] = {**at(case.place), "promise": 7}
        if bad is not None:
            yield Reason(
                f"Cancelled, {doing} {bad}.",
                conflict="swallowed-cancellation",
                measured=f"over {span(bad.seconds)}" if bad.overdue else None,
                budget=span(CANCEL.limit) if bad.overdue else None,
                timed=bad.overdue,
                next_step="End the statement at PostgreSQL, then let CancelledError through."
                if bad.overdue
                else "Let CancelledError through: no bare except, no BaseException.",
                **common,
            )
        elif case.open:
            yield Reason(
                f"Cancelled, {doing} left {count(case.open, 'transaction')} open at PostgreSQL, "
                f"{span(case.seconds)} later.",
                conflict="transaction-left-open",
                measured=count(case.open, "open transaction"),
                budget="0 open transactions",
                next_step="Roll back in `finally` or by the driver's own `async with`: "
                "`except Exception` does not see a cancel.",
                **common,
            )
        # What was there before its commit was stored before the cancel, too: the reason is given.
        elif case.stored and not case.early:
            yield Reason(
                f"Cancelled, {doing} went on, and was stored all the same.",
                conflict="dropped-task",
                measured=count(case.stored, unit),
                budget=f"0 {unit}s",
                next_step="Cancel the work itself and wait for its end: a thread goes on when its task is "
                "cancelled.",
                **common,
            )


class Race(_Issuing):
    """Two payments of all that is open at the same moment, and two charges of one invoice."""

    year = 2033
    title, promises = "two payments of one invoice at once", (1, 5, 6)

    @dataclass(frozen=True, slots=True)
    class Found(Issued):
        """How the payments ended and what is stored; how many of the charges got to ask."""

        endings: tuple[Ending, ...] = ()
        books_at: Place | None = None
        total: int = 0
        paid: int = 0
        asking: int = 0
        waits_at: Place | None = None
        """Where a charge waited that did not ask."""
        charges: tuple[Ending, ...] = ()

    async def meet(self, found: Any) -> None:
        invoices, found.issued = await self.issued(2)
        if len(invoices) < _TWO:
            return
        first, second = invoices
        async with self.held("payment"):
            calls = Calls({one: self.paying(first, first.total_cents) for one in range(2)})
            await self.until_waiting(2, 0.5)
            found.books_at = calls.look()
        found.endings = await calls.settled(2.0)
        found.total, found.paid = first.total_cents, await self.paid(first)
        self.gateway.gate.clear()
        charges = Calls({one: self.call("charge", second.id, "card") for one in range(2)})
        found.asking = await self.gateway.all_ask(self.stage, len(charges), 0.8)
        places = [call.look() for call in charges.values()]
        found.waits_at = next((one for one in places if one != self.gateway.asked_at), None)
        self.gateway.gate.set()
        found.charges = await charges.settled(1.0)

    def judged(self, found: "Race.Found", judged: Judged) -> Iterator[Reason | Kept]:
        if not found.endings:
            return
        first, second = sorted(found.endings, key=lambda one: not one.returned)
        if found.paid > found.total:
            yield Reason(
                "Two payments of all that was open came at once, and both were booked: "
                f"{found.paid} of {found.total} cents.",
                measured=f"{found.paid / found.total:.1f} x the total",
                budget="1 x the total",
                **at(found.books_at or first.place),
                promise=5,
                next_step="Read the invoice `for update`, in the transaction that books.",
            )
        elif found.paid < found.total or not (first.returned and _REFUSALS & set(second.error)):
            none = "none was booked: " if found.paid < found.total else ""
            yield Reason(
                f"Of two payments of all that was open at once, {none}one {first}, the other {second}.",
                measured=str(second),
                budget="one is booked, the other raises AlreadyPaid or Overpaid",
                **at(second.place),
                promise=5,
                timed=first.overdue or second.overdue,
                next_step="Let the second wait for the first, see what is still open, and be refused.",
            )
        else:
            yield Kept(5)
        if found.asking >= len(found.charges):
            yield Kept(6)
        elif not judged.breaks(6) and not judged.has("sequential-awaits"):
            yield Reason(
                f"Of two charges of one invoice, {found.asking} got to ask the gateway: what one holds "
                "while it asks, the other waits for.",
                conflict="sequential-awaits",
                measured=f"{found.asking} of 2 asked",
                budget="both",
                **at(found.waits_at),
                promise=6,
                timed=True,
                next_step="Hold no lock while you ask: the transaction that books sees what is open.",
            )


class Gone(_Issuing):
    """PostgreSQL ends the session in the middle of a payment."""

    size, year = 2, 2035
    title, promises = "a payment whose database connection is ended by PostgreSQL", (1, 8)

    @dataclass(frozen=True, slots=True)
    class Found(Issued):
        """How the payment ended, and calls after it until one got through."""

        ending: Ending | None = None
        after: tuple[Ending, ...] = ()

    async def meet(self, found: Any) -> None:
        invoices, found.issued = await self.issued(1)
        if not invoices:
            return
        (invoice,) = invoices
        async with self.held("payment"):
            call = self.paying(invoice, invoice.total_cents)
            await self.until_waiting(1)
            await self.end_sessions()
            await call.within(0.3)
        found.ending, found.after = await call.settled(2.0), []
        for _ in range(4):  # each connection of the pool may have to find out for itself
            found.after.append(await self.call("get", invoice.id).settled(2.0))
            if found.after[-1].returned or found.after[-1].overdue:
                break

    def judged(self, found: "Gone.Found", judged: Judged) -> Iterator[Reason | Kept]:
        del judged
        ending, last = found.ending, found.after[-1] if found.after else None
        if ending is None or last is None:
            return
        if not last.returned:
            yield Reason(
                f"After PostgreSQL had ended the connections, no call got through: the last one {last}.",
                **at(last.place),
                promise=8,
                timed=last.overdue,
                next_step="Take connections from a pool that replaces those that are gone.",
            )
        elif ending.returned or has_cause(ending, surely=True):
            yield Kept(8)  # in whose words it came out is judged with those of other refusals


_WANTED: dict[str, tuple[str | None, str, int]] = {
    "declined": (None, "what the gateway raises", 6),
    "invalid": ("InvalidInvoice", "an invoice with a line of quantity 0", 8),
    "duplicate": ("DuplicatePayment", "a reference that was booked before", 8),
    "overpaid": ("Overpaid", "a payment of more than is open", 5),
    "unknown get": ("InvoiceNotFound", "an invoice that is not there", 2),
    "unknown charge": ("InvoiceNotFound", "an invoice that is not there", 2),
    "unknown record_payment": ("InvoiceNotFound", "an invoice that is not there", 2),
    "gone": ("BillingUnavailable", "a connection that PostgreSQL ended", 8),
}
"""What each call must raise, for what, and by which promise."""


_BY_DATABASE = {
    "gone": "a connection that is gone",
    "invalid": "a line that the tables refuse",
    "duplicate": "a reference twice",
}
"""What the database refuses."""


class Refused(_Issuing):
    """Calls that have to fail, and the tables after each."""

    size, year = 3, 2036
    holds_locks = False
    title, promises = "calls that billing must refuse", (1, 2, 4, 5, 6, 8)

    @dataclass(frozen=True, slots=True)
    class Found(Issued):
        """How each ended, and what it left."""

        endings: dict[str, Ending] = field(default_factory=dict)
        open: tuple[str, ...] = ()
        """Calls that left a transaction open."""
        declined_paid: int = 0
        refused_paid: int = 0
        numbers: Numbers | None = None

    async def meet(self, found: Any) -> None:
        invoices, found.issued = await self.issued(2)
        if len(invoices) < _TWO:
            return
        (first, second), endings = invoices, dict[str, Ending]()
        found.endings, found.open = endings, []

        async def ended(name: str, call: Call) -> None:
            endings[name] = await call.settled(2.0)
            _, sessions = await self.database.forgotten(self.name, CANCEL.limit)
            if sessions:
                found.open.append(name)
                await self.end_sessions()  # what is left open would be in the way of the next

        self.gateway.declines = True
        await ended("declined", self.call("charge", first.id, "card"))
        self.gateway.declines = False
        if (where := self.gateway.asked_at) and endings["declined"].returned:
            endings["declined"] = replace(endings["declined"], place=where)
        found.declined_paid, year = await self.paid(first), self.year + 1
        lines, day = self.lines((1, 500), (0, 100)), date(year, 5, 1)
        await ended("invalid", self.call("issue", 7, 11, lines, on=day))
        await self.call("issue", 7, 11, lines[:1], on=day).settled(2.0)
        found.numbers = await self.numbers(year)
        await self.paying(first, 100, "R-1").settled(2.0)
        await ended("duplicate", self.paying(second, 100, "R-1"))
        await ended("overpaid", self.paying(second, 10_000_000))
        found.refused_paid = await self.paid(second)
        payment = self.lab.Payment(100, "transfer", "U-1")
        for method, *values in (("get",), ("charge", "card"), ("record_payment", payment)):
            await ended(f"unknown {method}", self.call(method, _NOWHERE, *values))

    def judged(self, found: "Refused.Found", judged: Judged) -> Iterator[Reason | Kept]:
        endings, gone = dict(found.endings), judged.found(Gone)
        if not endings:
            return
        yield from self.miscounted(found.numbers, endings["invalid"].place, judged)
        if gone is not None and gone.ending is not None and not gone.ending.returned:
            endings["gone"] = gone.ending
        broken = [*self._left_open(found), *self._translated(endings), *self._booked(found)]
        yield from broken
        told = {reason.promise for reason in broken}
        yield from (Kept(number) for number in (2, 5, 6, 8) if number not in told)

    def _left_open(self, found: "Refused.Found") -> Iterator[Reason]:
        if found.open:
            name = found.open[0]
            yield Reason(
                f"A call that failed ({name}) left a transaction open at PostgreSQL.",
                conflict="transaction-left-open",
                measured=count(len(found.open), "open transaction"),
                budget="0 open transactions",
                **at(found.endings[name].place),
                promise=4,
                next_step="Roll back whatever is raised, the domain's own errors included.",
            )

    def _translated(self, endings: Mapping[str, Ending]) -> Iterator[Reason]:
        """Judge in whose words each refusal came out, and with which cause."""
        raised = {name: one for name in _BY_DATABASE if (one := endings.get(name)) and one.raised}
        leaks = [name for name, one in raised.items() if not one.is_error("BillingError")]
        bare = [
            name
            for name, one in raised.items()
            if name not in leaks and not has_cause(one, surely=name == "gone")
        ]
        if leaks:
            yield self._of_database(
                leaks,
                raised[leaks[0]],
                f"The driver's own error came out: {raised[leaks[0]].message}",
                "leak",
                "Translate in the transaction's context manager: `raise ... from error`.",
            )
        if bare:
            yield self._of_database(
                bare,
                raised[bare[0]],
                f"{raised[bare[0]].error[0]} came out without the driver's error as its `__cause__`",
                "lost cause",
                "Name the driver's error: `raise ... from error`, never `from None`.",
            )
        wrong = set[int]()
        for name, (wanted, what, promise) in _WANTED.items():
            one = endings.get(name)
            if one is None or promise in wrong or name in leaks or is_right(one, wanted):
                continue
            wrong.add(promise)
            yield Reason(
                f"For {what}, the call {one}.",
                measured=str(one),
                budget=wanted or "the gateway's own error",
                **at(one.place),
                promise=promise,
                timed=one.overdue,
                next_step="Raise it, and let it through: an answer that hides it is wrong.",
            )

    @staticmethod
    def _of_database(
        names: Sequence[str], first: Ending, said: str, what: str, next_step: str
    ) -> Reason:
        return Reason(
            f"{said} ({', '.join(_BY_DATABASE[name] for name in names)}).",
            measured=count(len(names), what),
            budget=f"0 {what}s",
            **at(first.place),
            promise=8,
            next_step=next_step,
        )

    def _booked(self, found: "Refused.Found") -> Iterator[Reason]:
        for name, cents, promise, call in (
            ("declined", found.declined_paid, 6, "declined"),
            ("refused", found.refused_paid, 5, "overpaid"),
        ):
            if cents:
                yield Reason(
                    f"A payment that was to be {name} was booked: {cents} cents.",
                    measured=f"{cents} cents",
                    budget="0 cents",
                    **at(found.endings[call].place),
                    promise=promise,
                    next_step="Look first, then book, in one transaction.",
                )


def is_right(ending: Ending, wanted: str | None) -> bool:
    """Whether a call raised the error of this name; with None the gateway's, by itself or in a group."""
    gateways = CardDeclinedError.__name__
    grouped = "BaseExceptionGroup" in ending.error and gateways in ending.related
    return ending.is_error(wanted or gateways) or (wanted is None and ending.raised and grouped)


def has_cause(ending: Ending, *, surely: bool = False) -> bool:
    """Whether the driver's error is among the causes of an error.

    Unless there was one `surely`, the lab may have refused before the database did: then none was handled.
    """
    return bool(_DRIVERS & set(ending.related)) or not (surely or _DRIVERS & set(ending.during))


def praise(judged: Judged) -> str:
    """Return the sentence of a pass, with its best numbers."""
    crowd, static, issue = (
        judged.expect(Crowd),
        judged.expect(Static),
        judged.expect(Cancelled).issue,
    )
    slowest = max(one.seconds for one in issue.endings) if issue else 0.0
    return (
        f"{Crowd.charges} charges shared {crowd.peak} connections and all got to ask the gateway. "
        f"Cancelled while it stored, an invoice was gone within {span(slowest)}. Your "
        f"{count(static.runs[''].tests, 'test')} caught {count(len(static.runs) - 1, 'broken service')}, "
        "and the scanner found nothing."
    )


CHECK = Check(
    scenes=(Line(), Crowd(), Cancelled(), Race(), Gone(), Refused(), Static()),
    praise=praise,
    leaves_nothing=1,
    # A pool that is not closed has tasks of its own.
    explains_tasks=("unclosed-resource",),
)
