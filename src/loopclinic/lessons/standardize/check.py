"""Check of lab 13: billing over a slow connection, concurrent, cancelled, refused; its tests and a scan."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from loopclinic.lessons.core import Budget, Calls, Check, Ending, Judged, Kept, Place
from loopclinic.lessons.core.figures import Figure
from loopclinic.lessons.core.verdicts import broke, none_of
from loopclinic.lessons.database.postgres_verdicts import (
    Cancel,
    Gathered,
    after_cancels,
    few_at_work,
    forgotten_when_cancelled,
    saturated,
    starved,
    too_many,
)
from loopclinic.lessons.standardize.check_billing import (
    BillingScene,
    CardDeclinedError,
    IssuingScene,
    Line,
    Numbers,
    Opened,
)
from loopclinic.lessons.standardize.static_check import Static
from loopclinic.units import count, span
from loopclinic.verdict import Reason

CANCEL = Budget(
    0.5,
    "s",
    "A right answer takes some milliseconds, PostgreSQL's part included; one that waits for its "
    "statement takes until the statement is done.",
)

_HELD = 0.4
"""Seconds for which the database holds up all who want to book."""
ASK, BOTH_ASK = 1.2, 0.8
"""Seconds that charges get until all ask; a right answer needs some milliseconds."""
_NOWHERE = 987_654_321
"""The id of no invoice."""
_TOO_LARGE = 2**31
"""The smallest quantity that its column, an integer, can't hold."""
_DRIVERS = {"Error", "PostgresError", "InterfaceError", "OSError"}
"""Base classes of what psycopg and asyncpg raise."""


class Crowd(IssuingScene):
    """More charges than connections: all get to ask the gateway, then all want to book at once."""

    charges, year = 10, 2032
    title = f"{charges} charges at once, with {BillingScene.size} connections"
    promises = (1, 3, 4, 6)

    @dataclass(frozen=True, slots=True)
    class Found(Opened):
        """What became of the charges, and what PostgreSQL saw of them."""

        numbers: Numbers | None = None
        gathered: Gathered | None = None
        thread: float | None = None
        """Seconds that asyncio.to_thread took at worst while the database held all up."""
        books_at: Place | None = None
        endings: tuple[Ending, ...] = ()
        unpaid: int = 0
        booked_early: int = 0
        """Cents that were booked while the gateway was asked."""
        peak: int = 0
        """The most sessions at one moment."""
        most_active: int = 0
        """The most that had a statement under way at one moment."""

    async def meet(self, found: Any) -> None:
        async with self.database.watch(self.name) as seen:
            invoices = await self.issued(found, self.charges)
            found.numbers = await self.numbers()
            gate = self.gateway.gate
            gate.clear()
            loading, reads_at = await self._reading(invoices) if invoices else (0.0, None)
            calls = Calls((one.id, self.call("charge", one.id, "card")) for one in invoices)
            asking = await self.gateway.all_ask(self.stage, len(calls), ASK)
            found.gathered = await self.gathered(asking, calls)
            found.booked_early = sum([await self.paid(one) for one in invoices])
            if asking >= len(calls):
                async with self.held("payment"):
                    gate.set()
                    booking = await self.database.slowest_thread(_HELD)
                    found.thread = max(loading, booking)
                    found.books_at = reads_at if loading > booking else calls.look()
            gate.set()
            found.endings = await calls.settled(2.0)
        found.unpaid = len(invoices) - await self.paid_in_full(invoices)
        found.peak, found.most_active = seen.peak, seen.most_active

    async def _reading(self, invoices: Sequence[Any]) -> tuple[float, Place | None]:
        """Return how long asyncio.to_thread took at worst while no invoice could be read, and where."""
        async with self.database.holding("lock table invoice in access exclusive mode"):
            methods = ("get", invoices[0].id), ("statement", 11)
            calls = Calls((one, self.call(*methods[one % 2])) for one in range(2 * self.charges))
            waited, place = await self.database.slowest_thread(_HELD), calls.look()
        await calls.settled(2.0)
        return waited, place

    def judged(self, found: "Crowd.Found", judged: Judged) -> Iterator[Reason | Kept]:
        who, asks = f"Of {self.charges} charges with {self.size} connections", found.gathered
        if asks is not None and len(found.endings) == self.charges:  # all were issued
            step = "Read and give the connection back, ask, then take one again and book."
            if found.booked_early:
                said = f"While {self.charges} charges asked the gateway, "
                said += f"{found.booked_early:,} cents were booked already: a "
                said += "charge that fails or is cancelled would leave them there."
                step = "Ask the gateway first, then book what it took."
                yield broke(6, said, step, asks.place, **none_of(found.booked_early, "cent"))
                return
            asked = "got to ask the gateway"
            yield from starved(asks, self.charges, who, promise=6, asked=asked, next_step=step)
        place = found.books_at or (asks.place if asks else None) or found.served.place
        if found.thread is not None:
            while_ = "charges waited for the database"
            yield from saturated(found.thread, while_, place, promise=3)
            if not judged.has("executor-saturation"):
                calls = f"{self.charges} charges"
                yield from few_at_work(found.most_active, self.size, calls, place, promise=1)
        step = "Open one pool of at most `size` connections, and take every connection from it."
        yield from too_many(found.peak, self.size, place, promise=1, next_step=step)
        issue = found.issued[0].place if found.issued else None
        yield from self.miscounted(found.numbers, issue, judged)
        wrong = [one for one in found.endings if not one.returned]
        charges = count(len(found.endings), "charge")
        if judged.has("executor-saturation", "sequential-awaits", "pool-starvation"):
            return
        if wrong:
            said = f"Of {charges} at once, {len(wrong)} did not return: one {wrong[0]}."
            step = "Let calls wait for a connection, and share none between two at once."
            yield broke(2, said, step, wrong[0].place, timed=wrong[0].overdue)
        elif found.unpaid:
            said = f"Of {charges} that returned, {found.unpaid} are not stored as paid in full."
            step = "Book the payment and set the status in one transaction, and commit it."
            yield broke(4, said, step, found.endings[0].place)


class Cancelled(IssuingScene):
    """Cancelled while it stores, while it pays and while the gateway is asked; then the next ones' turn."""

    size, year = 2, 2034
    title, promises = "calls that are cancelled while they store or ask", (1, 4, 7)

    @dataclass(frozen=True, slots=True)
    class Found(Opened):
        """What became of those cancelled, and of those that followed."""

        issue: Cancel | None = None
        issue_early: int = 0
        """Rows that others could see before it was cancelled."""
        payment: Cancel | None = None
        payment_early: int = 0
        """Cents, likewise."""
        charge: Cancel | None = None
        after: tuple[Ending, ...] = ()
        numbers: Numbers | None = None

    async def meet(self, found: Any) -> None:
        sleep = self.stage.sleep
        async with self.held("invoice_line"):
            calls = self.issuing(2)
            await self.until_waiting(2)
            early = await self.numbers()
            found.issue_early = len(early.numbers) + early.counted
            found.issue = await self.cancel(calls, CANCEL.limit)
        if found.issue.open:
            return  # what these left open would be in the way of the next
        await sleep(0.15)  # what went on comes to its end
        found.issue = replace(found.issue, stored=len((await self.numbers()).numbers))
        invoices = await self.issued(found, 2)
        if len(invoices) < 2:
            return
        first, second = invoices
        async with self.held("invoice"):
            calls = Calls({0: self.paying(first, first.total_cents)})
            await self.until_waiting(1)
            found.payment_early = await self.paid(first)
            found.payment = await self.cancel(calls, CANCEL.limit)
        if found.payment.open:
            return
        await sleep(0.1)
        found.payment = replace(found.payment, stored=await self.paid(first))
        self.gateway.gate.clear()
        calls = Calls({0: self.call("charge", second.id, "card")})
        await self.gateway.all_ask(self.stage, 1, 1.0)
        found.charge = await self.cancel(calls, CANCEL.limit)
        self.gateway.gate.set()
        await sleep(0.1)
        found.charge = replace(found.charge, stored=await self.paid(second))
        found.after = await self.issuing(3).settled(1.2)
        found.numbers = await self.numbers()

    def judged(self, found: "Cancelled.Found", judged: Judged) -> Iterator[Reason | Kept]:
        issue, payment, charge = found.issue, found.payment, found.charge
        for case, early, what, of, whole in (
            (issue, found.issue_early, "an invoice", "row", "Number, invoice and lines"),
            (payment, found.payment_early, "a payment", "cent", "Payment and status"),
        ):
            if case is not None and early and not judged.breaks(4):
                said = f"While {what} was being stored, others could already see a part of it."
                step = f"{whole} in one transaction, committed once at the end."
                more = {"measured": count(early, of), "budget": f"0 {of}s before its commit"}
                yield broke(4, said, step, case.place, **more)
        yield from self.miscounted(found.numbers, issue.place if issue else None, judged)
        for case, early, who, unit in (
            (issue, found.issue_early, "An issue was cancelled while it stored", "invoice"),
            (payment, found.payment_early, "A payment was cancelled while it stored", "cent"),
            (charge, 0, "A charge was cancelled while it asked", "cent"),
        ):
            if case is not None and not judged.breaks(7):
                # What was there before its commit was stored before the cancel, too: the reason is given.
                seen = replace(case, stored=0) if early else case
                yield from forgotten_when_cancelled(seen, CANCEL, who, unit, promise=7)
        after = list(after_cancels(found.after, "calls", promise=7))
        if not (after and issue and issue.stored):
            yield from after
        if found.after and not after:
            yield Kept(7)


class Race(IssuingScene):
    """Two payments of all that is open at the same moment, and two charges of one invoice.

    The payments come by two services, as of two processes.
    """

    year, block = 2033, "open_billing(...), open_billing(...)"
    title, promises = "two payments of one invoice at once", (1, 5, 6)
    other: Any

    @dataclass(frozen=True, slots=True)
    class Found(Opened):
        """How the payments ended and what is stored; how many of the charges got to ask."""

        endings: tuple[Ending, ...] = ()
        books_at: Place | None = None
        total: int = 0
        paid: int = 0
        asking: int = 0
        waits_at: Place | None = None
        """Where a charge waited that did not ask."""
        charges: tuple[Ending, ...] = ()
        late: Ending | None = None
        """How a charge ended whose invoice was paid while it asked the gateway."""
        late_paid: int = 0

    @asynccontextmanager
    async def open(self, dsn: str) -> AsyncIterator[Any]:
        """Open billing twice, side by side; give the first service."""
        async with super().open(dsn) as service, self._open(dsn) as self.other:
            yield service

    async def meet(self, found: Any) -> None:
        invoices = await self.issued(found, 3)
        if len(invoices) < 3:
            return
        first, second, third = invoices
        async with self.held("payment"):
            services = (self.service, self.other)
            calls = Calls(
                (one, self.paying(first, first.total_cents, service=services[one]))
                for one in range(2)
            )
            await self.until_waiting(2, 0.5)
            found.books_at = calls.look()
        found.endings = await calls.settled(2.0)
        found.total, found.paid = first.total_cents, await self.paid(first)
        self.gateway.gate.clear()
        charges = Calls({one: self.call("charge", second.id, "card") for one in range(2)})
        found.asking = await self.gateway.all_ask(self.stage, len(charges), BOTH_ASK)
        places = [call.look() for call in charges.values()]
        found.waits_at = next((one for one in places if one != self.gateway.asked_at), None)
        self.gateway.gate.set()
        found.charges = await charges.settled(1.0)
        self.gateway.gate.clear()
        charge = self.call("charge", third.id, "card")
        await self.gateway.all_ask(self.stage, 3, BOTH_ASK)
        await self.paying(third, third.total_cents).settled(1.0)
        self.gateway.gate.set()
        found.late, found.late_paid = await charge.settled(1.0), await self.paid(third)

    def judged(self, found: "Race.Found", judged: Judged) -> Iterator[Reason | Kept]:
        if not found.endings:
            return
        first, second = sorted(found.endings, key=lambda one: not one.returned)
        refused, total = {"AlreadyPaid", "Overpaid"} & set(second.error), found.total
        if found.paid > total:
            both = "Two payments of all that was open came at once, by two services"
            step = "Read the invoice `for update`, in the transaction that books."
            yield _booked_twice(both, step, found.books_at or first.place, found.paid, total)
        elif found.paid < total or not (first.returned and refused):
            none = "none was booked: " if found.paid < total else ""
            said = f"Of two payments of all that was open at once, {none}one {first}, the other {second}."
            step = "Let the second wait for the first, see what is still open, and be refused."
            more = {"measured": str(second), "timed": first.overdue or second.overdue}
            budget = "one is booked, the other raises AlreadyPaid or Overpaid"
            yield broke(5, said, step, second.place, budget=budget, **more)
        elif found.late_paid > total:
            both = "An invoice was paid by a transfer while its charge asked the gateway"
            step = "Look again at what is open, in the transaction that books the charge."
            place = found.late.place if found.late else None
            yield _booked_twice(both, step, place, found.late_paid, total)
        else:
            yield Kept(5)
        if found.asking >= len(found.charges):
            yield Kept(6)
        elif not judged.breaks(6) and not judged.has("sequential-awaits"):
            said = f"Of two charges of one invoice, {found.asking} got to ask the gateway: what one holds "
            said += "while it asks, the other waits for."
            step = "Hold no lock while you ask: the transaction that books sees what is open."
            more = {"conflict": "sequential-awaits", "measured": f"{found.asking} of 2 asked"}
            yield broke(6, said, step, found.waits_at, budget="both", timed=True, **more)


def _booked_twice(both: str, step: str, place: Place | None, paid: int, total: int) -> Reason:
    said = f"{both}, and both were booked: {paid} of {total} cents."
    more = {"measured": f"{paid / total:.1f} x the total", "budget": "1 x the total"}
    return broke(5, said, step, place, **more)


class Gone(IssuingScene):
    """PostgreSQL ends the session in the middle of a payment."""

    size, year = 2, 2035
    title, promises = "a payment whose database connection is ended by PostgreSQL", (1, 8)

    @dataclass(frozen=True, slots=True)
    class Found(Opened):
        """How the payment ended, and calls after it until one got through."""

        ending: Ending | None = None
        after: tuple[Ending, ...] = ()

    async def meet(self, found: Any) -> None:
        invoices = await self.issued(found, 1)
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
            said = f"After PostgreSQL had ended the connections, no call got through: the last one {last}."
            step = "Take connections from a pool that replaces those that are gone."
            yield broke(8, said, step, last.place, timed=last.overdue)
        elif ending.returned or has_cause(ending, surely=True):
            yield Kept(8)  # in whose words it came out is judged with those of other refusals


_WANTED: dict[str, tuple[str | None, str, int]] = {
    "declined": (None, "what the gateway raises", 6),
    "timed out": ("TimeoutError", "a TimeoutError of the gateway", 6),
    "invalid": ("InvalidInvoice", "an invoice with a line of quantity 0", 8),
    "too large": ("BillingError", "an invoice with a line of quantity 2**31", 8),
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
    "too large": "a quantity that its column can't hold",
    "duplicate": "a reference twice",
}
"""What the database refuses."""


class Refused(IssuingScene):
    """Calls that have to fail, and the tables after each."""

    size, year, by_error = 3, 2036, True
    holds_locks = False
    title, promises = "calls that billing must refuse", (1, 2, 4, 5, 6, 8)

    @dataclass(frozen=True, slots=True)
    class Found(Opened):
        """How each ended, and what it left."""

        endings: dict[str, Ending] = field(default_factory=dict)
        open: tuple[str, ...] = ()
        """Calls that left a transaction open."""
        declined_paid: int = 0
        refused_paid: int = 0
        numbers: Numbers | None = None

    async def meet(self, found: Any) -> None:
        invoices = await self.issued(found, 2)
        if len(invoices) < 2:
            return
        first, second = invoices
        found.endings, found.open = {}, []

        async def ended(name: str, call: Any) -> None:
            found.endings[name] = await call.settled(2.0)
            _, sessions = await self.database.forgotten(self.name, CANCEL.limit)
            if sessions:
                found.open.append(name)
                await self.end_sessions()  # what is left open would be in the way of the next

        for name, error in (
            ("declined", CardDeclinedError("the card was declined")),
            ("timed out", TimeoutError("the card processor did not answer")),
        ):
            self.gateway.fails = error
            await ended(name, self.call("charge", first.id, "card"))
            declined = found.endings[name]
            if (where := self.gateway.asked_at) and declined.returned:
                found.endings[name] = replace(declined, place=where)
        self.gateway.fails = None
        found.declined_paid, year = await self.paid(first), self.year + 1
        day, right = date(year, 5, 1), (1, 500)
        for name, quantity in (("invalid", 0), ("too large", _TOO_LARGE)):
            wrong = self.lines(right, (quantity, 100))
            await ended(name, self.call("issue", 7, 11, wrong, on=day))
        await self.call("issue", 7, 11, self.lines(right), on=day).settled(2.0)
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
        if found.open:
            name = found.open[0]
            said = f"A call that failed ({name}) left a transaction open at PostgreSQL."
            step = "Roll back whatever is raised, the domain's own errors included."
            place, more = found.endings[name].place, none_of(len(found.open), "open transaction")
            yield broke(4, said, step, place, conflict="transaction-left-open", **more)
        broken = [*_translated(endings), *self._booked(found)]
        yield from broken
        told = {reason.promise for reason in broken}
        yield from (Kept(number) for number in (2, 5, 6, 8) if number not in told)

    def _booked(self, found: "Refused.Found") -> Iterator[Reason]:
        for what, cents, promise, call in (
            ("declined", found.declined_paid, 6, "declined"),
            ("refused", found.refused_paid, 5, "overpaid"),
        ):
            if cents:
                said = f"A payment that was to be {what} was booked: {cents} cents."
                step = "Look first, then book, in one transaction."
                place, more = found.endings[call].place, none_of(cents, "cent")
                yield broke(promise, said, step, place, **more)


def _translated(endings: dict[str, Ending]) -> Iterator[Reason]:
    """Judge in whose words each refusal came out, and with which cause."""
    raised = {name: one for name in _BY_DATABASE if (one := endings.get(name)) and one.raised}

    def of_database(names: Sequence[str], said: str, what: str, step: str) -> Reason:
        said = f"{said} ({', '.join(_BY_DATABASE[name] for name in names)})."
        return broke(8, said, step, raised[names[0]].place, **none_of(len(names), what))

    leaks = [name for name, one in raised.items() if not one.is_error("BillingError")]
    ours = (name for name in raised if name not in leaks)
    bare = [name for name in ours if not has_cause(raised[name], surely=name == "gone")]
    if leaks:
        said = f"The driver's own error came out: {raised[leaks[0]].message}"
        step = "Translate in the transaction's context manager: `raise ... from error`."
        yield of_database(leaks, said, "leak", step)
    if bare:
        said = f"{raised[bare[0]].error[0]} came out without the driver's error as its `__cause__`"
        step = "Name the driver's error: `raise ... from error`, never `from None`."
        yield of_database(bare, said, "lost cause", step)
    wrong = set[int]()
    for name, (wanted, what, promise) in _WANTED.items():
        one = endings.get(name)
        if one is None or promise in wrong or name in leaks or is_right(one, wanted):
            continue
        wrong.add(promise)
        step = "Raise it, and let it through: an answer that hides it is wrong."
        if wanted and one.raised:
            step = f"Raise {wanted} for it, and no other error."
        more = {"measured": str(one), "budget": wanted or "the gateway's own error"}
        yield broke(
            promise, f"For {what}, the call {one}.", step, one.place, timed=one.overdue, **more
        )


def is_right(ending: Ending, wanted: str | None) -> bool:
    """Return whether a call raised the error of this name; None: the gateway's, by itself or in a group."""
    gateways = CardDeclinedError.__name__
    grouped = "BaseExceptionGroup" in ending.error and gateways in ending.related
    return ending.is_error(wanted or gateways) or (wanted is None and ending.raised and grouped)


def has_cause(ending: Ending, *, surely: bool = False) -> bool:
    """Return whether the driver's error is among the causes of an error.

    Unless there was one `surely`, the lab may have refused before the database did: then none was handled.
    """
    return bool(_DRIVERS & set(ending.related)) or not (surely or _DRIVERS & set(ending.during))


def praise(judged: Judged) -> str:
    """Return the sentence of a pass, with its best numbers."""
    crowd, runs = judged.expect(Crowd), judged.expect(Static).suite.runs
    issue = judged.expect(Cancelled).issue
    slowest = max(one.seconds for one in issue.endings) if issue else 0.0
    return (
        f"{Crowd.charges} charges shared {crowd.peak} connections and all got to ask the gateway. "
        f"Cancelled while it stored, an invoice was gone within {span(slowest)}. Your "
        f"{count(runs[''].tests, 'test')} caught {count(len(runs) - 1, 'broken service')}, "
        "and the scanner found nothing."
    )


CHECK = Check(
    scenes=(Line(), Crowd(), Cancelled(), Race(), Gone(), Refused(), Static()),
    praise=praise,
    leaves_nothing=1,
    # A pool that is not closed has tasks of its own.
    explains_tasks=("unclosed-resource", "dropped-task"),
)

FIGURES = (Figure("seconds_on_a_slow_line", "The calls on a slow line take", "s", 3.69),)
