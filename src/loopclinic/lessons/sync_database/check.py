"""The check of lab 02: five scenes at a PostgreSQL that is asked what it sees of the audits."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from loopclinic.lessons.core import Calls, Check, Ending, Judged, Kept, Loop, Place, Scene
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
from loopclinic.lessons.sync_database.audits import (
    GATHER,
    AuditCalls,
    Stored,
    is_models,
    stored,
)
from loopclinic.lessons.sync_database.records import (
    Audit,
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

__all__ = ["AT_WORK", "CANCEL", "CHECK", "CONNECTIONS", "SESSIONS", "STALL", "THREAD"]

_sleep = asyncio.sleep  # kept from before a lab is imported, which may replace it

STALL = Budget(
    0.5,
    "x the line there and back",
    "A right answer never stops the loop for the database; one that waits there does so for a whole round "
    "trip, time and again.",
)
THREAD = Budget(
    0.25,
    "s",
    "A right answer leaves the default executor alone, where a thread is there in a millisecond; one that "
    "fills it makes others wait for as long as the database takes.",
)
CONNECTIONS = Budget(1.0, "x size", "Counted at PostgreSQL: sessions at one moment.")
SESSIONS = Budget(2.0, "x size", "Sessions in all. A pool opens 1; a pool a call, one an audit.")
AT_WORK = Budget(0.5, "x size", "Statements under way at one moment. A right answer reaches 1.")
CANCEL = Budget(
    0.5, "s", "A right answer takes milliseconds; one that waits for its query, as long as that."
)

_LINE = 0.08
"""Seconds there and back."""
_SETTLES = 0.2
"""Seconds that a pool has to take back a connection that is no longer used."""
_HELD = 0.4
"""Seconds for which every session that stores is held up."""
_DRY = {"PoolTimeout", "TooManyRequests"}
"""Errors by which a pool says that it has nothing left."""
_SHARED = ("another operation is in progress", "OutOfOrderTransactionNesting", "another command")
_HOLD = "select 1 from companies for no key update"
"""A session that writes a company's row waits; audits that refer to it can still be entered."""


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
        opening = stage.found(Opening)
        if opening is None or opening.trouble is not None:
            return None
        self.stage, self.database = stage, await stage.shared(Database, stage)
        return await self.play(lab, await self.due())

    async def play(self, lab: ModuleType, audits: list[Audit]) -> Any:
        """Open `Audits`, drive it with these, and return the finding."""
        async with self.serve(lab) as service:
            found = await self.meet(service.value, audits)
        return self.Found(service.found, **found)

    async def meet(self, service: Any, audits: list[Audit]) -> dict[str, Any]:
        """Drive the lab's `Audits` and return the finding's fields but `served`."""
        raise NotImplementedError

    def judge(self, found: Any, judged: Judged) -> Iterator[Reason | Kept]:
        if found.served.stuck is not None:
            return  # `Line` says so; what else there is to see was the rescue's doing
        if not judged.has("nested-loop"):
            yield from self.reasons(found, judged)
        if not judged.breaks(8):
            yield from closed(found.served, "Audits(...)", "__aexit__", promise=8)

    def reasons(self, found: Any, judged: Judged) -> Iterator[Reason | Kept]:
        """Judge what `meet` found."""
        raise NotImplementedError

    async def work(self, calls: AuditCalls, endings: list[Ending]) -> Work:
        """Return what became of these, by their word and by the tables."""
        right, asked_each = [], True
        for call in calls.each:
            right.append(type(call.value) is int and call.value == call.audit.mentions)
            asked_each &= sorted(call.asked) == sorted(text for _, text, _ in call.audit.queries)
        audits = [call.audit for call in calls.each]
        return Work(endings, right, asked_each, await stored(self.database, audits))

    async def gathered(self, calls: AuditCalls) -> Gathered:
        """Wait until all ask, and look at PostgreSQL meanwhile."""
        asking = await calls.all_ask()
        others = Calls(enumerate(call for call in calls.each if not call.asked))
        _, holding = await self.database.forgotten(self.name, _SETTLES)
        place, pooled = others.look(), any(in_pool(call) for call in others.values())
        return Gathered(asking, holding, place, pooled)

    def starved(
        self, found: Gathered, endings: Sequence[Ending], who: str
    ) -> Iterator[Reason | Kept]:
        """Judge whether all got to ask, and held nothing meanwhile."""
        raised = [one for one in endings if one.raised]
        dry = next((one for one in raised if _DRY & set(one.error)), None)
        if dry is None and raised:
            return
        all_ask, seen = found.asking == self.many and dry is None, meanwhile(found.holding)
        if all_ask and not found.holding:
            yield Kept(3)
            return
        conflict, root = "pool-starvation", "What is slow holds what is scarce."
        step = "Give the connection back before you ask, and take one again to store."
        if all_ask:
            said = f"all got to ask, with transactions open.{seen}"
        elif dry is not None or found.holding or found.in_pool:
            told = f" One gave up: {dry.message}." if dry is not None else ""
            said = f"{found.asking} got to ask; the others had no connection left.{seen}{told}"
        else:
            conflict, said = "sequential-awaits", f"{found.asking} got to ask."
            root = (
                "PostgreSQL saw no transaction open: the others waited for something of your own."
            )
            step = "Hold nothing while you ask: limit what has a connection, which the pool does."
        yield broke(
            3,
            f"{who}, {said} {root}",
            step,
            found.place or (dry.place if dry else None),
            conflict=conflict,
            measured=f"{found.asking} of {self.many} asked",
            budget="all of them",
        )

    def results(
        self,
        work: Work,
        who: str,
        judged: Judged,
        early: Sequence[int] = (),
        place: Place | None = None,
    ) -> Iterator[Reason | Kept]:
        """Judge answers and rows; one reason of each in all scenes. `early` were stored too soon."""
        if judged.breaks(1):
            return
        wrong, miscounted = work.stored.wrong, work.stored.miscounted
        both = zip(work.endings, work.right, strict=True)
        bad = next((one for one, right in both if not right), None)
        if bad is not None and bad.returned:
            yield broke(
                1,
                f"{who}, one {bad}, which is not the number of answers that name its company.",
                "Count the answers that hold the company's name, capitals or not.",
            )
        elif bad is not None:
            if bad.overdue and judged.breaks(3, 5):
                return  # the reason is given
            shared = any(sign in bad.message for sign in _SHARED)
            yield broke(
                1,
                f"{who}, one {bad}.",
                "A connection serves one unit of work at a time: take one from a pool for each."
                if shared
                else "Every audit of these can be done: see what stopped this one.",
                bad.place,
                timed=bad.overdue,
            )
        elif not work.asked_each:
            yield broke(
                1,
                f"{who}, one did not ask each of its queries once.",
                "Ask `await ask(text)` for each row in `queries`, and only there.",
            )
        else:
            yield Kept(1)
            if judged.breaks(2):
                return
            if early:
                yield broke(
                    2,
                    f"{count(len(early), 'audit')} had rows in `responses` or was 'done' while its "
                    "company's row could not be written yet: it is not all in one transaction.",
                    "Store responses, audit and company between one begin and one commit.",
                    place,
                )
            elif wrong:
                yield broke(
                    2,
                    f"{who}, {count(len(wrong), 'audit')} returned and is not in the tables as it should "
                    f"be (audit {wrong[0]}).",
                    "Store a row for each query, the audit's mentions and 'done', and commit.",
                )
            elif miscounted:
                yield broke(
                    2,
                    f"{who}, `companies` was miscounted: its sums are not those of its audits.",
                    "Let PostgreSQL add: set mentions = mentions + ..., in the same transaction.",
                    measured=count(len(miscounted), "company", "companies"),
                    budget="0 companies",
                )
            else:
                yield Kept(2)


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
            yield broke(
                None,
                f"Opening Audits(dsn, size=...) {found.trouble}.",
                "Open what audits need in __aenter__, and return self.",
                found.trouble.place,
                timed=found.trouble.overdue,
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

    async def play(self, lab: ModuleType, audits: list[Audit]) -> "Line.Found":
        probe = self.stage.probe
        began = probe.snapshot().at  # how it opens counts, too
        async with (
            self.database.slow_line(_LINE) as dsn,
            self.serve(lab, dsn=dsn, patience=3.0) as service,
        ):
            calls = AuditCalls(service.value, audits, is_open=True)
            endings, loop = await self.stage.watched(calls, 5.0)
            work = await self.work(calls, endings)
            stalls = [stall_of(one) for one in probe.stalls if one.started >= began]
        self.stage.vital(
            seconds_on_a_slow_line=round(loop.seconds, 3), loop_busy=round(loop.busy, 3)
        )
        return self.Found(service.found, work, loop, [one for one in stalls if one is not None])

    def judge(self, found: "Line.Found", judged: Judged) -> Iterator[Reason | Kept]:
        hangs: dict[str | None, Reason] = {}
        for scene in (Crowd, Family, Cancelled, Failing):
            later = judged.found(scene)
            if later is not None and later.served.stuck is not None:
                reason = hung(later.served.stuck, promise=5)
                hangs.setdefault(reason.conflict, reason)
        yield from hangs.values()
        yield from nested_loop(found.work.endings, found.loop, promise=5)
        if not judged.has("nested-loop"):
            yield from blocked_on_line(
                found.stalls,
                _LINE,
                STALL,
                found.loop.busy,
                "two audits",
                promise=5,
                next_step="Use a driver that awaits (asyncpg, psycopg's AsyncConnection), or a thread.",
            )
        yield from super().judge(found, judged)

    def reasons(self, found: "Line.Found", judged: Judged) -> Iterator[Reason | Kept]:
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
        peak: int = 0
        """The most sessions at one moment."""
        opened: int = 0
        """Sessions in all."""
        most_active: int = 0
        """The most that had a statement under way at one moment."""

    async def play(self, lab: ModuleType, audits: list[Audit]) -> "Crowd.Found":
        async with self.database.watch(self.name) as seen:
            found: Crowd.Found = await super().play(lab, audits)
        return replace(found, peak=seen.peak, opened=seen.opened, most_active=seen.most_active)

    async def meet(self, service: Any, audits: list[Audit]) -> dict[str, Any]:
        calls, thread, early = AuditCalls(service, audits), None, list[int]()
        gathered = await self.gathered(calls)
        place = gathered.place
        if gathered.asking == len(calls):
            async with self.database.holding(_HOLD):
                calls.gate.set()
                thread = await self.database.slowest_thread(_HELD)
                place = calls.look()
                early = (await stored(self.database, audits)).touched
        calls.gate.set()
        return {
            "gathered": gathered,
            "work": await self.work(calls, await calls.settled(2.0)),
            "thread": thread,
            "place": place,
            "early": early,
        }

    def reasons(self, found: "Crowd.Found", judged: Judged) -> Iterator[Reason | Kept]:
        blocked, endings = judged.breaks(5), found.work.endings
        if not judged.has("pool-starvation"):
            yield from self.starved(found.gathered, endings, f"Of {self.many} audits")
        yield from self._connections(found)
        if found.thread is not None and not blocked:
            while_ = f"the database kept {self.many} audits waiting"
            yield from saturated(found.thread, THREAD, while_, found.place, promise=5)
        who = f"Among {self.many} audits at once"
        yield from self.results(found.work, who, judged, found.early, found.place)

    def _connections(self, found: "Crowd.Found") -> Iterator[Reason | Kept]:
        size, place = self.size, found.place
        if found.peak > CONNECTIONS.limit * size:
            yield broke(
                4,
                f"PostgreSQL saw {count(found.peak, 'connection')} at once, where `size` is {size}, and "
                f"{found.opened} in all for {self.many} audits.",
                "Make one pool in __aenter__, with max_size=size, for all audits.",
                place,
                conflict="too-many-connections",
                measured=f"{found.peak / size:.1f} x size",
                budget=str(CONNECTIONS),
            )
        elif found.opened > SESSIONS.limit * size:
            yield broke(
                4,
                f"PostgreSQL saw {found.opened} connections in all for {self.many} audits: they are opened "
                "and thrown away.",
                "Make one pool in __aenter__, and take its connections again and again.",
                place,
                conflict="too-many-connections",
                measured=f"{found.opened / size:.1f} x size",
                budget=str(SESSIONS),
            )
        elif found.thread is None or any(one.raised for one in found.work.endings):
            return  # it broke before it could be slow
        elif found.most_active < AT_WORK.limit * size:
            yield broke(
                4,
                f"{self.many} audits had work for the database, and {found.most_active} of {size} "
                "connections were at it: the others waited in vain.",
                "Give each unit of work a connection of its own, from a pool of `size`.",
                place,
                conflict="sequential-awaits",
                measured=f"{found.most_active} at once",
                budget=f"at least {AT_WORK.limit * size:g} of {size} at once",
            )
        else:
            yield Kept(4)


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
        return {"gathered": gathered, "work": await self.work(calls, await calls.settled(1.0))}

    def reasons(self, found: "Family.Found", judged: Judged) -> Iterator[Reason | Kept]:
        who = "Of two audits of one company"
        if not judged.breaks(3):
            yield from self.starved(found.gathered, found.work.endings, who)
        yield from self.results(found.work, who, judged)


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
        if not asking.open and not database.stuck:
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
        place = calls.look()
        running = Calls(enumerate(call for call in calls.each if not call.done))
        endings = await running.cancelled(CANCEL.limit)
        seconds, left = await database.forgotten(self.name, CANCEL.limit)
        calls.gate.set()
        return Cancel(endings, left, seconds, place)

    def judge(self, found: "Cancelled.Found", judged: Judged) -> Iterator[Reason | Kept]:
        # Calls that ended by themselves are judged, also where others were broken off.
        for case, doing in ((found.asking, "asked"), (found.storing, "stored its responses")):
            if case is not None and not judged.breaks(7):
                yield from self._case(case, f"An audit was cancelled while it {doing}")
        if not found.asking.open:  # else nothing can be closed
            yield from super().judge(found, judged)

    def reasons(self, found: "Cancelled.Found", judged: Judged) -> Iterator[Reason | Kept]:
        late = next((one for one in found.after if not one.returned), None)
        if judged.breaks(7):
            return
        if late is not None:
            how = "found no connection" if late.overdue else "failed"
            yield broke(
                7,
                f"After some audits had been cancelled, the next ones {how}: one {late}.",
                "Give each connection back to the pool, and as it was, whatever ends its work.",
                late.place,
                conflict="unclosed-resource" if late.overdue else None,
                timed=late.overdue,
            )
        elif found.asking.endings and found.storing is not None and found.storing.endings:
            yield Kept(7)

    def _case(self, case: Cancel, who: str) -> Iterator[Reason]:
        endings, limit = case.endings, CANCEL.limit
        if any(one.how == "broken-off" for one in endings):
            return
        bad = next((one for one in endings if one.how != "cancelled" or one.seconds > limit), None)
        why = ""
        if case.place is not None and "shield(" in case.place.code:
            why = " `asyncio.shield` keeps its work from being cancelled."
        unshielded = (
            "Do without asyncio.shield: let the cancel reach the work, and wait for its end."
        )
        if bad is not None:
            late = bad.seconds > limit
            yield broke(
                7,
                f"{who}, and {f'went on for {span(bad.seconds)}' if late else bad} instead of ending by "
                "CancelledError.",
                "Let CancelledError through, once PostgreSQL has been told.",
                case.place,
                conflict="swallowed-cancellation",
                measured=span(bad.seconds),
                budget=str(CANCEL),
                timed=late,
            )
        elif case.open:
            yield broke(
                7,
                f"{who}, and ended; its transaction did not.{why}{meanwhile(case.open)} Its locks and its "
                "connection are gone for as long.",
                unshielded
                if why
                else "Roll back and give the connection back in `finally`, or use the driver's own "
                "`async with`; stop a thread's query, too (connection.cancel()).",
                case.place,
                conflict="transaction-left-open",
                measured=f"open {span(case.seconds)} after the end",
                budget=f"{span(limit)} after the end",
            )
        elif case.committed:
            yield broke(
                7,
                f"{who}, and ended; its work went on, and was committed later.{why}",
                unshielded
                if why
                else "Cancel the work itself, and wait for its end before you let go.",
                case.place,
                conflict="dropped-task",
                measured=count(len(case.committed), "audit"),
                budget="0 audits",
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
        ending, place = found.ending, found.ending.place
        if not found.models:
            step = "Let an error of `ask` through: the caller must know."
            said = f"`ask` raised, and run {ending} instead."
            yield broke(6, said, step, place, timed=ending.overdue)
        elif found.touched:
            step = "Store nothing before all answers are there, or roll back."
            yield broke(6, "`ask` raised, and there are rows of that audit.", step, place)
        elif found.open:
            yield broke(
                6,
                f"`ask` raised, and the audit's transaction stayed open.{meanwhile(found.open)}",
                "Hold no transaction while you ask; roll back in `finally`.",
                place,
                conflict="transaction-left-open",
                measured=count(len(found.open), "open transaction"),
                budget="0 open transactions",
            )
        else:
            yield Kept(6)


def broke(
    promise: int | None, said: str, step: str, place: Place | None = None, **more: Any
) -> Reason:
    """Return a reason why this promise is broken."""
    return Reason(said, promise=promise, next_step=step, **at(place), **more)


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
