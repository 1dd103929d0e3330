"""The check of lab 02: five scenes at a PostgreSQL that is asked what it sees of the audits."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from loopclinic.lessons.core import Call, Calls, Check, Ending, Judged, Kept, Loop, Place, Scene
from loopclinic.lessons.core.connections import (
    Served,
    blocked_on_line,
    closed,
    hung,
    meanwhile,
    saturated,
)
from loopclinic.lessons.core.database import Database, NotOpenedError, Service, in_pool, stall_of
from loopclinic.lessons.core.findings import Stall
from loopclinic.lessons.core.verdicts import at, nested_loop
from loopclinic.lessons.lesson import Budget
from loopclinic.lessons.sync_database.records import (
    Audit,
    answer_to,
    companies,
    draw,
    enter,
    lay_out,
)
from loopclinic.lessons.wording import span
from loopclinic.servers.postgres_sessions import Session
from loopclinic.units import count
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

__all__ = ["AT_WORK", "CANCEL", "CHECK", "CONNECTIONS", "GATHER", "SESSIONS", "STALL", "THREAD"]

# Kept from before a lab is imported, which may replace them.
_sleep, _perf_counter, _Event = asyncio.sleep, time.perf_counter, asyncio.Event

STALL = Budget(
    0.5,
    "x the line there and back",
    "A right answer never stops the loop for the database; one that waits there does so for a whole "
    "round trip, time and again.",
)
THREAD = Budget(
    0.25,
    "s",
    "A right answer leaves the default executor alone, where a thread is there in a millisecond; one "
    "that fills it makes others wait for as long as the database takes.",
)
CONNECTIONS = Budget(1.0, "x size", "A count, at PostgreSQL: sessions at one moment.")
SESSIONS = Budget(
    2.0,
    "x size",
    "A count, at PostgreSQL: sessions in all. A pool opens `size`; a pool a call opens one for each audit.",
)
AT_WORK = Budget(
    0.5,
    "x size",
    "A count, at PostgreSQL: sessions with a statement under way at one moment. A right answer reaches 1.",
)
CANCEL = Budget(
    0.5,
    "s",
    "A right answer takes some milliseconds, PostgreSQL's part included; one that waits for its query "
    "takes until the query is done.",
)

_LINE = 0.08
"""Seconds there and back."""
GATHER = 1.2
"""Seconds that audits get until all ask; a right answer needs some milliseconds."""
_SETTLES = 0.2
"""Seconds in which a pool takes a connection back whose user is done with it."""
_HELD = 0.4
"""Seconds for which the database holds up all who want to store."""
_DRY = {"PoolTimeout", "TooManyRequests"}
"""Errors by which a pool says that it has nothing left."""
_SHARED = ("another operation is in progress", "OutOfOrderTransactionNesting", "another command")
_UNSHIELDED = (
    "Do without asyncio.shield: let the cancel reach the work itself, and wait for its end."
)
_HOLD = "select 1 from companies for no key update"
"""Who wants to write a company's row waits; audits that refer to it can still be entered."""


# Calls of the lab's `run`.


class ModelError(Exception):
    """The language model could not answer."""


class AuditCall(Call):
    """A call of `run`, with the language model as it meets it: which answers when the gate is open."""

    def __init__(
        self, audits: Any, audit: Audit, gate: asyncio.Event, *, fails: bool = False
    ) -> None:
        self.audit, self.asked = audit, list[str]()
        self._gate, self._fails = gate, fails
        super().__init__(lambda: audits.run(audit.id, self._ask), "run")

    async def _ask(self, text: str) -> str:
        self.asked.append(text)
        await self._gate.wait()
        await _sleep(0.01)
        if self._fails:
            raise ModelError("the model is overloaded")
        try:
            return answer_to(self.audit, text)
        except LookupError:
            return "I do not understand the question."

    @property
    def right(self) -> bool:
        """Whether it returned how many answers name the company."""
        return type(self.value) is int and self.value == self.audit.mentions

    @property
    def asked_each(self) -> bool:
        """Whether it asked each query of its audit once."""
        return sorted(self.asked) == sorted(text for _, text, _ in self.audit.queries)


class AuditCalls(Calls[int]):
    """Calls of `run` that begin together, with one gate."""

    def __init__(
        self, audits: Any, due: Sequence[Audit], *, is_open: bool = False, fails: bool = False
    ) -> None:
        self.gate = _Event()
        if is_open:
            self.gate.set()
        self.each = [AuditCall(audits, audit, self.gate, fails=fails) for audit in due]
        super().__init__(enumerate(self.each))

    async def all_ask(self) -> int:
        """Wait until all ask or have ended, and return how many ask."""
        ends = _perf_counter() + GATHER
        while not all(call.asked or call.done for call in self.each) and _perf_counter() < ends:
            await _sleep(0.01)
        return sum(bool(call.asked) for call in self.each)


def first_place(calls: Sequence[Call]) -> Place | None:
    """Return where the first of these waits that waits in the learner's code."""
    return next((place for call in calls if (place := call.look())), None)


# What scenes find.


@dataclass(frozen=True, slots=True)
class Stored:
    """What PostgreSQL has of some audits, by their ids."""

    done: list[int]
    touched: list[int]
    """Audits that are done or have responses."""
    wrong: list[int]
    """Audits that are not stored as they should be."""
    miscounted: list[int]
    """Companies whose sums are not those of their audits."""


@dataclass(frozen=True, slots=True)
class Work:
    """What became of some audits that can be done: by their word and by the tables."""

    endings: list[Ending]
    right: list[bool]
    """Whether each returned how many answers name its company."""
    asked_each: bool
    """Whether each asked each of its queries once."""
    stored: Stored


@dataclass(frozen=True, slots=True)
class Gathered:
    """Audits that all should ask at the same time."""

    audits: int
    asking: int
    holding: list[Session]
    """Sessions that have a transaction open meanwhile."""
    place: Place | None
    """Where one waits that does not ask."""
    in_pool: bool
    """Whether one of those waits in a pool for a connection."""


class _Auditing(Scene[Any]):
    """Audits that are due, and the lab's `Audits` opened for them."""

    size: ClassVar[int] = 2
    many: ClassVar[int]
    """Audits that are due, each of another company."""
    of_one_company: ClassVar[bool] = False
    stage: "Stage"
    database: Database

    async def due(self) -> list[Audit]:
        """Enter the audits, of two queries each."""
        stage = self.stage
        known = stage.rng.sample(companies(), self.many)
        of = [known[0]] * self.many if self.of_one_company else known
        audits = draw(stage.rng, of, first=stage.numbers(self.many), queries=2)
        await stage.outside(enter, self.database.monitor.connection, audits)
        return audits

    def serve(self, lab: ModuleType, **options: Any) -> AbstractAsyncContextManager[Service]:
        """Open `Audits` for this scene."""
        return self.database.serve(
            self.name, lambda dsn: lab.Audits(dsn, size=self.size), **options
        )

    async def drive(self, lab: ModuleType, stage: "Stage") -> Any:
        if not can_open(stage):
            return None
        self.stage, self.database = stage, await stage.shared(Database, stage)
        audits = await self.due()
        async with self.serve(lab) as service:
            found = await self.meet(service.value, audits)
        return self.Found(service.found, **found)

    async def meet(self, service: Any, audits: list[Audit]) -> dict[str, Any]:
        """Drive the lab's `Audits` and return the finding's fields but `served`."""
        raise NotImplementedError

    def judge(self, found: Any, judged: Judged) -> Iterator[Reason | Kept]:
        # What else there is to see of calls that were broken off was the rescue's doing.
        if found.served.stuck is None and not judged.has("nested-loop"):
            yield from self.reasons(found, judged)
        if found.served.stuck is None and not broken(judged, 8):
            yield from closed(found.served, "Audits(...)", "__aexit__", promise=8)

    def reasons(self, found: Any, judged: Judged) -> Iterator[Reason | Kept]:
        """Judge what `meet` found."""
        raise NotImplementedError

    async def work(self, calls: AuditCalls, cap: float) -> Work:
        """Wait `cap` seconds at most, break off the rest, and join what both sides say."""
        return Work(
            await calls.settled(cap),
            [call.right for call in calls.each],
            all(call.asked_each for call in calls.each),
            await stored(self.database, [call.audit for call in calls.each]),
        )

    async def gathered(self, calls: AuditCalls) -> Gathered:
        """Wait until all ask, and look at PostgreSQL meanwhile."""
        asking = await calls.all_ask()
        others = [call for call in calls.each if not call.asked]
        _, holding = await self.database.forgotten(self.name, _SETTLES)
        place, pooled = first_place(others), any(in_pool(call) for call in others)
        return Gathered(len(calls), asking, holding, place, pooled)

    def results(
        self,
        work: Work,
        doing: str,
        judged: Judged,
        early: Sequence[int] = (),
        place: Place | None = None,
    ) -> Iterator[Reason | Kept]:
        """Judge answers and rows; at most one reason in all scenes. `early` were stored too soon."""
        if broken(judged, 1, 2):
            return
        stored, both = work.stored, zip(work.endings, work.right, strict=True)
        bad = next((one for one, right in both if not right), None)
        if bad is not None:
            if bad.overdue and broken(judged, 3, 5):
                return  # the reason is given
            if bad.returned:
                what = ", which is not the number of answers that name its company"
                step = "Count the answers that hold the company's name, capitals or not."
            elif any(sign in bad.message for sign in _SHARED):
                what = ""
                step = (
                    "A connection serves one unit of work at a time: take one from a pool for each."
                )
            else:
                what, step = "", "Every audit of these can be done: see what stopped this one."
            yield Reason(
                f"{doing}, one {bad}{what}.",
                **at(None if bad.returned else bad.place),
                promise=1,
                timed=bad.overdue,
                next_step=step,
            )
        elif not work.asked_each:
            yield Reason(
                f"{doing}, one did not ask each of its queries once.",
                promise=1,
                next_step="Ask `await ask(text)` for each row in `queries`, and only there.",
            )
        elif early:
            yield Reason(
                f"{count(len(early), 'audit')} had rows in `responses` or was 'done' while its company's "
                "row could not be written yet: it is not all in one transaction.",
                **at(place),
                promise=2,
                next_step="Store responses, audit and company between one begin and one commit.",
            )
        elif stored.wrong:
            yield Reason(
                f"{doing}, {count(len(stored.wrong), 'audit')} returned and is not in the tables as it "
                f"should be (audit {stored.wrong[0]}).",
                promise=2,
                next_step="Store a row for each query, the audit's mentions and 'done', and commit.",
            )
        elif stored.miscounted:
            yield Reason(
                f"{doing}, `companies` was miscounted: its sums are not those of its audits.",
                measured=count(len(stored.miscounted), "company", "companies"),
                budget="0 companies",
                promise=2,
                next_step="Let PostgreSQL add: set mentions = mentions + ..., in the same transaction.",
            )
        else:
            yield Kept(2)
        if bad is None and work.asked_each:
            yield Kept(1)


class Opening(_Auditing):
    """`Audits` opened and closed, with nothing in between."""

    title, promises = "opening Audits", ()

    @dataclass(frozen=True, slots=True)
    class Found:
        """What was in the way."""

        trouble: Ending | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> "Opening.Found":
        self.database = await stage.shared(Database, stage)
        await stage.outside(lay_out, self.database.dsn)
        try:
            async with self.serve(lab):
                return self.Found(None)
        except NotOpenedError as error:
            return self.Found(error.ending)

    def judge(self, found: "Opening.Found", judged: Judged) -> Iterator[Reason | Kept]:
        del judged
        if found.trouble is not None:
            yield Reason(
                f"Opening Audits(dsn, size=...) {found.trouble}.",
                **at(found.trouble.place),
                timed=found.trouble.overdue,
                next_step="Open what audits need in __aenter__, and return self.",
            )


class Line(_Auditing):
    """A few audits on a slow line, where every wait for the database is long enough to see."""

    many = 2
    title, promises = "two audits on a slow line to the database", (1, 2, 5, 8)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of the audits, and every time that the lab stopped the loop meanwhile."""

        served: Served
        work: Work
        loop: Loop
        stalls: list[Stall]

    async def drive(self, lab: ModuleType, stage: "Stage") -> "Line.Found | None":
        if not can_open(stage):
            return None
        self.stage, self.database = stage, await stage.shared(Database, stage)
        audits = await self.due()
        began = stage.probe.snapshot().at  # how it opens counts, too
        async with (
            self.database.slow_line(_LINE) as dsn,
            self.serve(lab, dsn=dsn, patience=3.0) as service,
        ):
            async with stage.watch_loop() as watch:
                calls = AuditCalls(service.value, audits, is_open=True)
                watch.calls += calls.each
                work = await self.work(calls, 5.0)
            stalls = [stall_of(one) for one in stage.probe.stalls if one.started >= began]
        loop = watch.found
        stage.vital(seconds_on_a_slow_line=round(loop.seconds, 3), loop_busy=round(loop.busy, 3))
        return self.Found(service.found, work, loop, [one for one in stalls if one is not None])

    def reasons(self, found: "Line.Found", judged: Judged) -> Iterator[Reason | Kept]:
        later = (judged.found(scene) for scene in (Crowd, Family, Cancelled, Failing))
        stuck = [one.served.stuck for one in later if one is not None and one.served.stuck]
        hangs = {
            reason.conflict: reason for reason in (hung(one, promise=5) for one in stuck[::-1])
        }
        yield from reversed(hangs.values())
        nested = list(nested_loop(found.work.endings, found.loop, promise=5))
        yield from nested
        if nested:
            return
        yield from blocked_on_line(
            found.stalls,
            _LINE,
            STALL,
            found.loop.busy,
            "two audits",
            promise=5,
            next_step="Use a driver that awaits (asyncpg, psycopg's AsyncConnection), or a thread.",
        )
        yield from self.results(found.work, "Of two audits on a slow line", judged)


class Crowd(_Auditing):
    """More audits than connections: all must get to ask, then all want to store at once."""

    size, many = 6, 10
    title, promises = f"{many} audits at once, with {size} connections", (1, 2, 3, 4, 5, 8)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of the audits, and what PostgreSQL saw of them."""

        served: Served
        gathered: Gathered
        work: Work
        thread: float | None
        """Seconds that asyncio.to_thread took at worst while the database held all up."""
        place: Place | None
        """Where an audit waited meanwhile, else where one that did not ask."""
        early: list[int]
        """Audits that were stored in part meanwhile."""
        peak: int
        """The most sessions at one moment."""
        sessions: int
        """Sessions in all."""
        most_active: int
        """The most that had a statement under way at one moment."""

    async def meet(self, service: Any, audits: list[Audit]) -> dict[str, Any]:
        database, thread, early = self.database, None, list[int]()
        async with database.watch(self.name) as seen:
            calls = AuditCalls(service, audits)
            gathered = await self.gathered(calls)
            place = gathered.place
            if gathered.asking == len(calls):
                async with database.holding(_HOLD):
                    calls.gate.set()
                    thread = await database.slowest_thread(_HELD)
                    place = first_place(calls.each)
                    early = (await stored(database, audits)).touched
            calls.gate.set()
            work = await self.work(calls, 2.0)
        return {
            "gathered": gathered,
            "work": work,
            "thread": thread,
            "place": place,
            "early": early,
            "peak": seen.peak,
            "sessions": len(seen.names),
            "most_active": seen.most_active,
        }

    def reasons(self, found: "Crowd.Found", judged: Judged) -> Iterator[Reason | Kept]:
        blocked = broken(judged, 5)
        if not judged.has("pool-starvation"):
            yield from self._starved(found.gathered, found.work)
        yield from self._connections(found)
        if found.thread is not None and not blocked:
            while_ = f"the database kept {self.many} audits waiting"
            yield from saturated(found.thread, THREAD, while_, found.place, promise=5)
        doing = f"Among {self.many} audits at once"
        yield from self.results(found.work, doing, judged, found.early, found.place)

    def _starved(self, found: Gathered, work: Work) -> Iterator[Reason | Kept]:
        raised = [one for one in work.endings if one.raised]
        dry = next((one for one in raised if _DRY & set(one.error)), None)
        if dry is None and raised:
            return
        conflict, what = "pool-starvation", "What is slow holds what is scarce."
        step = "Give the connection back before you ask, and take one again to store."
        if dry is not None:
            seen = f"{meanwhile(found.holding)} One gave up: {dry.message}."
            said = f"{found.asking} got to ask; the others had no connection left.{seen}"
        elif found.asking == found.audits:
            if not found.holding:
                yield Kept(3)
                return
            said = f"all got to ask, with transactions open.{meanwhile(found.holding)}"
        elif found.holding or found.in_pool:
            seen = meanwhile(found.holding)
            said = f"{found.asking} got to ask; the others had no connection left.{seen}"
        else:
            conflict = "sequential-awaits"
            said = f"{found.asking} got to ask. PostgreSQL saw no transaction open:"
            what = "the others waited for something else than a connection."
            step = "Limit what has a connection, which the pool does, and not what asks."
        yield Reason(
            f"Of {found.audits} audits, {said} {what}",
            conflict=conflict,
            measured=f"{found.asking} of {found.audits} asked",
            budget="all of them",
            **at(found.place or (dry.place if dry else None)),
            promise=3,
            next_step=step,
        )

    def _connections(self, found: "Crowd.Found") -> Iterator[Reason | Kept]:
        size, conflict, limit = self.size, None, str(CONNECTIONS)
        if found.peak > CONNECTIONS.limit * size:
            conflict, measured = "too-many-connections", f"{found.peak / size:.1f} x size"
            said = (
                f"PostgreSQL saw {count(found.peak, 'connection')} at once, where `size` is {size}, and "
                f"{found.sessions} in all for {self.many} audits."
            )
            step = "Make one pool in __aenter__, with max_size=size, for all audits."
        elif found.sessions > SESSIONS.limit * size:
            measured, limit = f"{found.sessions / size:.1f} x size", str(SESSIONS)
            said = (
                f"PostgreSQL saw {found.sessions} connections in all for {self.many} audits: they are "
                "opened and thrown away."
            )
            step = "Make one pool in __aenter__, and take its connections again and again."
        elif found.thread is None or any(one.raised for one in found.work.endings):
            return  # it broke before it could be slow
        elif found.most_active < AT_WORK.limit * size:
            conflict, measured = "sequential-awaits", f"{found.most_active} at once"
            limit = f"at least {AT_WORK.limit * size:g} of {size} at once"
            said = (
                f"{self.many} audits had work for the database, and {found.most_active} of {size} "
                "connections were at it: the others waited in vain."
            )
            step = "Give each unit of work a connection of its own, from a pool of `size`."
        else:
            yield Kept(4)
            return
        yield Reason(
            said,
            conflict=conflict,
            measured=measured,
            budget=limit,
            **at(found.place),
            promise=4,
            next_step=step,
        )


class Family(_Auditing):
    """Two audits of one company: both must get to ask, then both want its row."""

    size, many, of_one_company = 4, 2, True
    title, promises = "two audits of one company at once", (1, 2, 3, 8)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of the two."""

        served: Served
        gathered: Gathered
        work: Work

    async def meet(self, service: Any, audits: list[Audit]) -> dict[str, Any]:
        calls = AuditCalls(service, audits)
        gathered = await self.gathered(calls)
        if gathered.asking == len(calls):
            # Held up until both want the row: sums that were read before would be written now.
            async with self.database.holding(_HOLD):
                calls.gate.set()
                await self.database.until_waiting(self.name, len(calls), 0.4)
        calls.gate.set()
        return {"gathered": gathered, "work": await self.work(calls, 1.0)}

    def reasons(self, found: "Family.Found", judged: Judged) -> Iterator[Reason | Kept]:
        gathered = found.gathered
        if gathered.asking == gathered.audits and not gathered.holding:
            yield Kept(3)
        elif not broken(judged, 3) and not any(one.raised for one in found.work.endings):
            yield Reason(
                f"Of two audits of one company, {gathered.asking} got to ask: what one holds while it asks, "
                f"the other waits for.{meanwhile(gathered.holding)}",
                conflict="sequential-awaits",
                measured=f"{gathered.asking} of {gathered.audits} asked",
                budget="all of them",
                **at(gathered.place),
                promise=3,
                timed=True,
                next_step="Hold no lock while you ask: PostgreSQL adds up what both write when they store.",
            )
        yield from self.results(found.work, "Of two audits of one company", judged)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Some audits that were cancelled, and what PostgreSQL had of them when they had ended."""

    endings: list[Ending]
    open: list[Session]
    """Sessions that still had a transaction after `seconds`."""
    seconds: float
    place: Place | None
    """Where one waited when it was cancelled."""
    committed: list[int] = field(default_factory=list)
    """Audits that were stored all the same, later."""


class Cancelled(_Auditing):
    """Cancelled while they ask, and while they wait for a row; then the next ones' turn."""

    many = 7
    title, promises = "audits that are cancelled while they ask", (7, 8)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of those cancelled, and of those that followed."""

        served: Served
        asking: Cancel
        storing: Cancel | None
        after: list[Ending]

    async def meet(self, service: Any, audits: list[Audit]) -> dict[str, Any]:
        database, storing, after = self.database, None, list[Ending]()
        asking = await self._cancel(AuditCalls(service, audits[:2]))
        if not asking.open and not any_stuck(self.stage):
            self.stage.step("audits that are cancelled while they store")
            async with database.holding(_HOLD):
                calls = AuditCalls(service, audits[2:4])
                storing = await self._cancel(calls, at_store=True)
                before = (await stored(database, audits[2:4])).done
            await _sleep(0.15)  # what went on comes to its end
            await database.forgotten(self.name, CANCEL.limit)
            done = (await stored(database, audits[2:4])).done
            storing = replace(storing, committed=[one for one in done if one not in before])
        if not asking.open:  # else these would be in the way of the next
            self.stage.step("audits after the cancelled ones")
            after = await AuditCalls(service, audits[4:], is_open=True).settled(1.2)
        return {"asking": asking, "storing": storing, "after": after}

    async def _cancel(self, calls: AuditCalls, *, at_store: bool = False) -> Cancel:
        database = self.database
        await calls.all_ask()
        if at_store:
            calls.gate.set()
            await database.until_waiting(self.name, len(calls), GATHER)
        place = first_place(calls.each)
        running = Calls(enumerate(call for call in calls.each if not call.done))
        endings = await running.cancelled(CANCEL.limit)
        seconds, left = await database.forgotten(self.name, CANCEL.limit)
        calls.gate.set()
        return Cancel(endings, left, seconds, place)

    def judge(self, found: "Cancelled.Found", judged: Judged) -> Iterator[Reason | Kept]:
        # Calls that ended by themselves are judged, also where others were broken off.
        for case, doing in ((found.asking, "asked"), (found.storing, "stored its responses")):
            if case is not None and not broken(judged, 7):
                yield from self._case(case, f"An audit was cancelled while it {doing}")
        if not found.asking.open:  # else nothing can be closed
            yield from super().judge(found, judged)

    def reasons(self, found: "Cancelled.Found", judged: Judged) -> Iterator[Reason | Kept]:
        late = next((one for one in found.after if not one.returned), None)
        if broken(judged, 7):
            return
        if late is not None:
            how = "found no connection" if late.overdue else "failed"
            yield Reason(
                f"After some audits had been cancelled, the next ones {how}: one {late}.",
                conflict="unclosed-resource" if late.overdue else None,
                **at(late.place),
                promise=7,
                timed=late.overdue,
                next_step="Give each connection back to the pool, and as it was, whatever ends its work.",
            )
        elif found.storing is not None and found.storing.endings:
            yield Kept(7)

    def _case(self, case: Cancel, who: str) -> Iterator[Reason]:
        if any(one.how == "broken-off" for one in case.endings):
            return
        bad = next(
            (one for one in case.endings if one.how != "cancelled" or one.seconds > CANCEL.limit),
            None,
        )
        shielded = case.place is not None and "shield(" in case.place.code
        why = " `asyncio.shield` keeps its work from being cancelled." if shielded else ""
        if bad is not None:
            late = bad.seconds > CANCEL.limit
            how = f"went on for {span(bad.seconds)}" if late else str(bad)
            yield Reason(
                f"{who}, and {how} instead of ending by CancelledError.",
                conflict="swallowed-cancellation",
                measured=span(bad.seconds),
                budget=str(CANCEL),
                **at(case.place),
                promise=7,
                timed=late,
                next_step="Let CancelledError through, once PostgreSQL has been told.",
            )
        elif case.open:
            yield Reason(
                f"{who}, and ended; its transaction did not.{why}{meanwhile(case.open)} Its locks and its "
                "connection are gone for as long.",
                conflict="transaction-left-open",
                measured=f"open {span(case.seconds)} after the end",
                budget=f"{span(CANCEL.limit)} after the end",
                **at(case.place),
                promise=7,
                next_step=_UNSHIELDED
                if shielded
                else "Roll back and give the connection back in `finally`, or use the driver's own "
                "`async with`; stop a thread's query, too (connection.cancel()).",
            )
        elif case.committed:
            yield Reason(
                f"{who}, and ended; its work went on, and was committed later.{why}",
                conflict="dropped-task",
                measured=count(len(case.committed), "audit"),
                budget="0 audits",
                **at(case.place),
                promise=7,
                next_step=_UNSHIELDED
                if shielded
                else "Cancel the work itself, and wait for its end before you let go.",
            )


class Failing(_Auditing):
    """A model that fails: the error comes out, and nothing is stored."""

    many = 1
    title, promises = "an audit whose model fails", (6, 8)

    @dataclass(frozen=True, slots=True)
    class Found:
        """How `run` ended, and what PostgreSQL had of it then."""

        served: Served
        ending: Ending
        models: bool
        """Whether it raised the model's error, by itself or in a group."""
        open: list[Session]
        touched: bool

    async def meet(self, service: Any, audits: list[Audit]) -> dict[str, Any]:
        call = AuditCalls(service, audits, is_open=True, fails=True).each[0]
        ending = await call.settled(1.0)
        models = ending.raised and is_models(call.task.exception())
        _, left = await self.database.forgotten(self.name, CANCEL.limit)
        touched = bool((await stored(self.database, audits)).touched)
        return {"ending": ending, "models": models, "open": left, "touched": touched}

    def reasons(self, found: "Failing.Found", judged: Judged) -> Iterator[Reason | Kept]:
        del judged
        ending, common = found.ending, {"promise": 6, **at(found.ending.place)}
        if not found.models:
            yield Reason(
                f"`ask` raised, and run {ending} instead.",
                timed=ending.overdue,
                next_step="Let an error of `ask` through: the caller must know.",
                **common,
            )
        elif found.touched:
            yield Reason(
                "`ask` raised, and there are rows of that audit.",
                next_step="Store nothing before all answers are there, or roll back.",
                **common,
            )
        elif found.open:
            yield Reason(
                f"`ask` raised, and the audit's transaction stayed open.{meanwhile(found.open)}",
                conflict="transaction-left-open",
                measured=count(len(found.open), "open transaction"),
                budget="0 open transactions",
                next_step="Hold no transaction while you ask; roll back in `finally`.",
                **common,
            )
        else:
            yield Kept(6)


async def stored(database: Database, audits: Sequence[Audit]) -> Stored:
    """Return what PostgreSQL has of these audits, and which sums are not as they should be."""
    states = await database.rows(
        "select audits.id, status, audits.mentions, count(responses.query_id),"
        " count(*) filter (where responses.mentioned) from audits"
        " left join queries on audit_id = audits.id"
        " left join responses on query_id = queries.id"
        " where audits.id = any(%s) group by audits.id",
        [one.id for one in audits],
    )
    totals = await database.rows(
        "select companies.id, audits_done, companies.mentions,"
        " count(audits.id), coalesce(sum(audits.mentions), 0) from companies"
        " left join audits on company_id = companies.id and status = 'done'"
        " group by companies.id"
    )
    wanted = {one.id: (one.mentions, len(one.queries), one.mentions) for one in audits}
    return Stored(
        done=[row[0] for row in states if row[1] == "done"],
        touched=[row[0] for row in states if row[1] == "done" or row[3]],
        wrong=[row[0] for row in states if row[1] != "done" or row[2:] != wanted[row[0]]],
        miscounted=[row[0] for row in totals if row[1:3] != row[3:]],
    )


def can_open(stage: "Stage") -> bool:
    """Whether `Audits` opened in the first scene."""
    opening = stage.found(Opening)
    return opening is not None and opening.trouble is None


def any_stuck(stage: "Stage") -> bool:
    """Whether a call had to be broken off in a scene before: the same waits in those that follow."""
    before = (stage.found(scene) for scene in (Line, Crowd, Family))
    return any(one is not None and one.served.stuck is not None for one in before)


def broken(judged: Judged, *promises: int) -> bool:
    """Whether a reason was given already why one of these promises is broken."""
    return any(reason.promise in promises for reason in judged.reasons)


def is_models(error: BaseException | None) -> bool:
    """Whether it is the model's error, or a group of such."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_models(one) for one in error.exceptions)
    return isinstance(error, ModelError)


def praise(judged: Judged) -> str:
    """Return the sentence of a pass, with its best numbers."""
    crowd, storing = judged.expect(Crowd), judged.expect(Cancelled).storing
    slowest = max(one.seconds for one in storing.endings) if storing else 0.0
    return (
        f"{Crowd.many} audits shared {crowd.peak} connections and all got to ask; with the database held "
        f"up, others had a thread within {span(crowd.thread or 0.0)}. Cancelled while it stored, an audit "
        f"ended within {span(slowest)} and left nothing at PostgreSQL."
    )


CHECK = Check(
    scenes=(Opening(), Line(), Crowd(), Family(), Cancelled(), Failing()),
    praise=praise,
    leaves_nothing=8,
    # A pool that is not closed has tasks of its own.
    explains_tasks=("unclosed-resource",),
)
