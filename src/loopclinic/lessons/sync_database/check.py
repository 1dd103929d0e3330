"""Check of lab 02: five scenes; PostgreSQL itself is asked for the sessions and rows of the lab's audits."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from loopclinic.lessons.core import (
    Budget,
    Call,
    Calls,
    Check,
    Ending,
    Judged,
    Kept,
    Loop,
    Place,
    Said,
)
from loopclinic.lessons.core.call import now
from loopclinic.lessons.core.figures import Figure
from loopclinic.lessons.core.shared_findings import Stall
from loopclinic.lessons.core.stacks import defined_at
from loopclinic.lessons.core.verdicts import broke, nested_loop, none_of
from loopclinic.lessons.database.postgres_verdicts import (
    Cancel,
    Gathered,
    Served,
    after_cancels,
    blocked_on_line,
    few_at_work,
    forgotten_when_cancelled,
    hung,
    meanwhile,
    saturated,
    starved,
    too_many,
)
from loopclinic.lessons.database.scenes import Database, DatabaseScene
from loopclinic.lessons.database.sessions import Session
from loopclinic.lessons.sync_database.audit_tables import (
    Audit,
    Stored,
    answer_to,
    companies,
    draw,
    enter,
    lay_out,
    stored,
)
from loopclinic.units import count, span

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage
    from loopclinic.verdict import Reason

SESSIONS = Budget(2.0, "x size", "Sessions in all. A pool opens 1; a pool a call, one an audit.")
CANCEL = Budget(
    0.5, "s", "A right answer takes milliseconds; one that waits for its query, as long as that."
)

# Kept from before a lab is imported, which may replace them.
_sleep, _Event = asyncio.sleep, asyncio.Event

GATHER = 1.2
"""Seconds that audits get until all ask; a right answer needs some milliseconds."""
_HELD = 0.4
"""Seconds for which every session that stores is held up."""
_DRY = {"PoolTimeout", "TooManyRequests"}
"""Errors by which a pool says that it has nothing left."""
_SHARED = ("another operation is in progress", "OutOfOrderTransactionNesting", "another command")
_HOLD = "select 1 from companies for no key update"
"""A session that writes a company's row waits; audits that refer to it can still be entered."""
_HOLD_AUDITS = "select 1 from audits for no key update"
"""A session that writes an audit's row waits, also where its company was written before."""
_HOLD_QUERIES = "lock table queries in access exclusive mode"
"""A session that reads queries waits."""
_ONE_TRANSACTION = "Store responses, audit and company between one begin and one commit."


class ModelError(Exception):
    """The language model could not answer."""


class AuditCall(Call):
    """A call of a lab's `run`, with the language model as it meets it: which answers when the gate is open."""

    def __init__(self, audits: Any, audit: Audit, gate: asyncio.Event, *, fails: bool) -> None:
        self.audit, self.asked = audit, list[str]()
        self._gate, self._fails = gate, fails
        super().__init__(lambda: audits.run(audit.id, self._ask), "run")

    async def _ask(self, text: str) -> str:
        self.asked.append(text)
        await self._gate.wait()
        await _sleep(0.01)
        if self._fails and text != self.audit.queries[0][1]:  # the first one is answered
            raise ModelError("the model is overloaded")
        try:
            return answer_to(self.audit, text)
        except LookupError:
            return "I do not understand the question."


class AuditCalls(Calls[int]):
    """Calls of `run` that begin together, with one gate."""

    def __init__(
        self, audits: Any, due: Sequence[Audit], *, is_open: bool = False, fails: bool = False
    ) -> None:
        self.gate = _Event()
        if is_open:
            self.gate.set()
        self.run_at = defined_at(getattr(audits, "run", None))
        self.each = [AuditCall(audits, audit, self.gate, fails=fails) for audit in due]
        super().__init__(enumerate(self.each))

    async def all_ask(self) -> int:
        """Wait until all ask or have ended, and return how many ask."""
        ends = now() + GATHER
        while not all(call.asked or call.done for call in self.each) and now() < ends:
            await _sleep(0.01)
        return sum(bool(call.asked) for call in self.each)


def is_models(error: BaseException | None) -> bool:
    """Return whether it is the model's error, or a group of such."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_models(one) for one in error.exceptions)
    return isinstance(error, ModelError)


@dataclass(frozen=True, slots=True)
class Work:
    """What became of some audits that can be done: by their word and by the tables."""

    endings: list[Ending]
    right: list[bool]
    """Whether each returned how many answers name its company."""
    asked_each: bool
    """Whether each asked each of its queries once."""
    stored: Stored
    run_at: Place | None = None
    """Where the lab defines `run`."""


class _Auditing(DatabaseScene):
    """Audits that are due, and the lab's `Audits` opened for them."""

    block, closer, needs = "Audits(...)", "__aexit__", "run"
    opening, free, closing = None, None, 8
    size: ClassVar[int] = 2
    many: ClassVar[int]
    """Audits that are due, each of another company."""
    of_one_company: ClassVar[bool] = False
    audits: list[Audit]

    async def drive(self, lab: ModuleType, stage: "Stage") -> Any:
        database = await stage.shared(Database, stage)
        known = stage.rng.sample(companies(), self.many)
        of = [known[0]] * self.many if self.of_one_company else known
        self.audits = draw(stage.rng, of, first=stage.numbers(self.many), queries=2)
        await stage.outside(enter, database.monitor.connection, self.audits)
        return await self.serve(lab, stage)

    def open(self, dsn: str) -> Any:
        return self.lab.Audits(dsn, size=self.size)

    def keeps_open(self, judged: Judged) -> bool:
        return judged.breaks(8)

    async def work(self, calls: AuditCalls, endings: list[Ending]) -> Work:
        """Return what became of these, by their word and by the tables."""
        right, asked_each = [], True
        for call in calls.each:
            right.append(type(call.value) is int and call.value == call.audit.mentions)
            asked_each &= sorted(call.asked) == sorted(text for _, text, _ in call.audit.queries)
        audits = [call.audit for call in calls.each]
        return Work(endings, right, asked_each, await stored(self.database, audits), calls.run_at)

    async def asked(self, calls: AuditCalls) -> Gathered:
        """Wait until all ask, and look at PostgreSQL meanwhile."""
        asking = await calls.all_ask()
        return await self.gathered(
            asking, Calls(enumerate(call for call in calls.each if not call.asked))
        )

    def starved(self, found: Gathered, endings: Sequence[Ending], who: str) -> Iterator[Said]:
        """Judge whether all got to ask, and held nothing meanwhile."""
        raised = [one for one in endings if one.raised]
        dry = next((one for one in raised if _DRY & set(one.error)), None)
        if dry is not None or not raised:
            step = "Give the connection back before you ask, and take one again to store."
            yield from starved(found, self.many, who, promise=3, dry=dry, next_step=step)

    def results(
        self,
        work: Work,
        who: str,
        judged: Judged,
        early: Sequence[int] = (),
        place: Place | None = None,
    ) -> Iterator[Said]:
        """Judge answers and rows; one reason of each in all scenes. `early` were stored too soon."""
        both = zip(work.endings, work.right, strict=True)
        bad = next((one for one, right in both if not right), None)
        if judged.breaks(1) or (bad is not None and bad.overdue and judged.breaks(3, 5)):
            return  # the reason is given
        place_of, timed = work.run_at, False
        if not work.asked_each and (bad is None or bad.returned):
            said = f"{who}, one did not ask each of its queries once."
            step = "Ask `await ask(text)` for each row in `queries`, and only there."
        elif bad is None:
            yield Kept(1)
            if not judged.breaks(2):
                yield self._rows(work, who, early, place)
            return
        elif bad.returned:
            said = f"{who}, one {bad}, which is not the number of answers that name its company."
            step = "Count the answers that hold the company's name, capitals or not."
        else:
            said, place_of, timed = f"{who}, one {bad}.", bad.place, bad.overdue
            step = "Every audit of these can be done: see what stopped this one."
            if any(sign in bad.message for sign in _SHARED):
                step = (
                    "A connection serves one unit of work at a time: take one from a pool for each."
                )
        yield broke(1, said, step, place_of, timed=timed)

    @staticmethod
    def _rows(work: Work, who: str, early: Sequence[int], place: Place | None) -> Said:
        wrong, miscounted, more = work.stored.wrong, work.stored.miscounted, dict[str, Any]()
        if early:
            said = f"{count(len(early), 'audit')} had rows in `responses` or was 'done' while its "
            said += "company's row could not be written yet: it is not all in one transaction."
            step = _ONE_TRANSACTION
        elif wrong:
            audits, place = count(len(wrong), "audit"), work.run_at
            said = f"{who}, {audits} returned without being stored as it should be "
            said += f"(audit {wrong[0]})."
            step = (
                "Store the whole answer to each query, the audit's mentions and 'done', and commit."
            )
        elif miscounted:
            said = f"{who}, `companies` was miscounted: its sums are not those of its audits."
            step = "Let PostgreSQL add: set mentions = mentions + ..., in the same transaction."
            place, more = work.run_at, none_of(len(miscounted), "company", "companies")
        else:
            return Kept(2)
        return broke(2, said, step, place, **more)


class Line(_Auditing):
    """A few audits on a slow line, where every wait for the database is long enough to see."""

    many, on_slow_line = 2, True
    title, promises = "two audits on a slow line to the database", (1, 2, 5, 8)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of the audits, and every time that the lab stopped the loop meanwhile."""

        served: Served
        work: Work
        loop: Loop
        stalls: list[Stall]

        def blocked(self) -> Iterator[Said]:
            """Judge whether the loop waited for the slow line."""
            step = "Use a driver that awaits (asyncpg, psycopg's AsyncConnection), or a thread."
            busy = self.loop.busy
            yield from blocked_on_line(self.stalls, busy, "two audits", promise=5, next_step=step)

    async def drive(self, lab: ModuleType, stage: "Stage") -> Any:
        await stage.outside(lay_out, stage.services["postgres"])
        return await super().drive(lab, stage)

    async def meet(self, found: Any) -> None:
        calls = AuditCalls(self.service, self.audits, is_open=True)
        endings, loop = await self.stage.watched(calls, 5.0)
        found.loop, found.work = loop, await self.work(calls, endings)
        found.stalls = self.stalls()
        self.stage.vital(
            seconds_on_a_slow_line=round(loop.seconds, 3), loop_busy=round(loop.busy, 3)
        )

    def judge(self, found: "Line.Found", judged: Judged) -> Iterator[Said]:
        hangs: dict[str | None, Reason] = {}
        for scene in (Crowd, Family, Cancelled, Failing):
            later = judged.found(scene)
            if later is not None and later.served.stuck is not None:
                reason = hung(later.served.stuck, promise=5)
                hangs.setdefault(reason.conflict, reason)
        yield from hangs.values()
        if found.served.opening is None:
            yield from nested_loop(found.work.endings, found.loop, promise=5)
            if not judged.has("nested-loop"):
                yield from found.blocked()
        yield from super().judge(found, judged)

    def reasons(self, found: "Line.Found", judged: Judged) -> Iterator[Said]:
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
        opened: int
        """Sessions in all."""
        most_active: int
        """The most that had a statement under way at one moment."""

    async def serve(self, lab: ModuleType, stage: "Stage", **options: Any) -> Any:
        database = await stage.shared(Database, stage)
        async with database.watch(self.name) as seen:
            found = await super().serve(lab, stage, **options)
        if found is None:
            return None
        return replace(found, peak=seen.peak, opened=seen.opened, most_active=seen.most_active)

    async def meet(self, found: Any) -> None:
        line, loading, reads_at = self.stage.found(Line), 0.0, None
        async with AsyncExitStack() as stack:
            free = line is not None and all(isinstance(one, Kept) for one in line.blocked())
            if free:  # else the lock would be held for as long as a call keeps the loop
                await stack.enter_async_context(self.database.holding(_HOLD_QUERIES))
            calls = AuditCalls(self.service, self.audits)
            if free:
                loading = await self.database.slowest_thread(_HELD)
                reads_at = calls.look()
        gathered = found.gathered = await self.asked(calls)
        found.place, found.early = gathered.place, []
        if gathered.asking == len(calls):
            async with self.database.holding(_HOLD):
                calls.gate.set()
                storing = await self.database.slowest_thread(_HELD)
                found.place = reads_at if loading > storing else calls.look()
                found.thread = max(loading, storing)
                found.early = (await stored(self.database, self.audits)).touched
        calls.gate.set()
        found.work = await self.work(calls, await calls.settled(2.0))

    def reasons(self, found: "Crowd.Found", judged: Judged) -> Iterator[Said]:
        free, endings, place = not judged.breaks(5), found.work.endings, found.place
        if not judged.has("pool-starvation"):
            yield from self.starved(found.gathered, endings, f"Of {self.many} audits")
        yield from self._connections(found)
        if found.thread is not None and free:
            while_ = f"the database kept {self.many} audits waiting"
            yield from saturated(found.thread, while_, place, promise=5)
        who = f"Among {self.many} audits at once"
        yield from self.results(found.work, who, judged, found.early, place)

    def _connections(self, found: "Crowd.Found") -> Iterator[Said]:
        size, place, opened = self.size, found.place, found.opened
        step = "Make one pool in __aenter__, with max_size=size, for all audits."
        also = f", and {opened} in all for {self.many} audits"
        said: list[Said] = [
            *too_many(found.peak, size, place, promise=4, next_step=step, also=also)
        ]
        if not said and opened > SESSIONS.limit * size:
            seen = f"PostgreSQL saw {opened} connections in all for {self.many} audits"
            step = "Make one pool in __aenter__, and take its connections again and again."
            more = {"measured": f"{opened / size:.1f} x size", "budget": str(SESSIONS)}
            more["conflict"] = "too-many-connections"
            said = [broke(4, f"{seen}: they are opened and thrown away.", step, place, **more)]
        yield from said
        # One that raised broke before it could be slow.
        raised = any(one.raised for one in found.work.endings)
        if not said and found.thread is not None and not raised:
            calls = f"{self.many} audits"
            said += few_at_work(found.most_active, size, calls, place, promise=4)
            yield from said or [Kept(4)]


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

    async def meet(self, found: Any) -> None:
        calls = AuditCalls(self.service, self.audits)
        found.gathered = await self.asked(calls)
        if found.gathered.asking == len(calls):
            # Held up until both want the row: sums that were read before would be written now.
            async with self.database.holding(_HOLD):
                calls.gate.set()
                await self.database.until_waiting(self.name, len(calls), 0.4)
        calls.gate.set()
        found.work = await self.work(calls, await calls.settled(1.0))

    def reasons(self, found: "Family.Found", judged: Judged) -> Iterator[Said]:
        who = "Of two audits of one company"
        if not judged.breaks(3):
            yield from self.starved(found.gathered, found.work.endings, who)
        yield from self.results(found.work, who, judged)


class Cancelled(_Auditing):
    """Cancelled while they ask, and while they wait for a row; then the next ones' turn."""

    many = 7
    title, promises = "audits that are cancelled while they ask", (2, 7, 8)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of those cancelled, and of those that followed."""

        served: Served
        asking: Cancel
        storing: Cancel | None
        miscounted: list[int]
        """Companies whose sums were not those of their audits then."""
        after: list[Ending]

    async def meet(self, found: Any) -> None:
        database, audits, found.after = self.database, self.audits, []
        found.miscounted = []
        found.asking = await self._cancel(AuditCalls(self.service, audits[:2]))
        if found.asking.open:
            return  # these would be in the way of the next
        if not database.stuck:
            self.stage.step("audits that are cancelled while they store")
            async with database.holding(_HOLD_AUDITS):
                calls = AuditCalls(self.service, audits[2:4])
                storing = await self._cancel(calls, at_store=True)
                before = (await stored(database, audits[2:4])).done
            await self.stage.sleep(0.15)  # what went on comes to its end
            await database.forgotten(self.name, CANCEL.limit)
            tables = await stored(database, audits[2:4])
            found.storing = replace(storing, stored=len(set(tables.done) - set(before)))
            found.miscounted = tables.miscounted
        self.stage.step("audits after the cancelled ones")
        found.after = await AuditCalls(self.service, audits[4:], is_open=True).settled(1.2)

    async def _cancel(self, calls: AuditCalls, *, at_store: bool = False) -> Cancel:
        await calls.all_ask()
        if at_store:
            calls.gate.set()
            await self.database.until_waiting(self.name, len(calls), GATHER)
        running = Calls(enumerate(call for call in calls.each if not call.done))
        found = await self.cancel(running, CANCEL.limit)
        calls.gate.set()
        return found

    def judge(self, found: "Cancelled.Found", judged: Judged) -> Iterator[Said]:
        if found.served.opening is None:
            # Calls that ended by themselves are judged, also where others were broken off.
            for case, doing in ((found.asking, "asked"), (found.storing, "stored its responses")):
                if case is not None and not judged.breaks(7):
                    who = f"An audit was cancelled while it {doing}"
                    yield from forgotten_when_cancelled(case, CANCEL, who, "audit", promise=7)
            if found.asking.open:
                return  # nothing can be closed
        yield from super().judge(found, judged)

    def reasons(self, found: "Cancelled.Found", judged: Judged) -> Iterator[Said]:
        if judged.breaks(7):
            return
        if found.storing is not None and not judged.breaks(2):
            if found.miscounted:
                said = "An audit was cancelled while it stored, and its company was counted "
                said += "all the same: it is not all in one transaction."
                yield broke(2, said, _ONE_TRANSACTION, found.storing.place)
            else:
                yield Kept(2)
        yield from after_cancels(found.after, "audits", promise=7)
        cancelled = found.asking.endings and found.storing and found.storing.endings
        if cancelled and not judged.breaks(7):
            yield Kept(7)


class Failing(_Auditing):
    """A model that fails: the error comes out, also of the `async with`, and nothing is stored."""

    many, by_error = 1, True
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

    async def meet(self, found: Any) -> None:
        calls = AuditCalls(self.service, self.audits, is_open=True, fails=True)
        call = calls.each[0]
        found.ending = await call.settled(1.0)
        found.models = found.ending.raised and is_models(call.task.exception())
        _, found.open = await self.database.forgotten(self.name, CANCEL.limit)
        found.touched = bool((await stored(self.database, self.audits)).touched)
        found.ending = replace(found.ending, place=found.ending.place or calls.run_at)

    def reasons(self, found: "Failing.Found", judged: Judged) -> Iterator[Said]:
        del judged
        ending, more = found.ending, dict[str, Any]()
        if not found.models:
            said = f"`ask` raised, and run {ending} instead."
            step = "Let an error of `ask` through: the caller must know."
            more = {"timed": ending.overdue}
        elif found.touched:
            said = "`ask` raised, and something of that audit is in the tables."
            step = "Store nothing before all answers are there, or roll back."
        elif found.open:
            said = f"`ask` raised, and the audit's transaction stayed open.{meanwhile(found.open)}"
            step = "Hold no transaction while you ask; roll back in `finally`."
            more = none_of(len(found.open), "open transaction")
            more["conflict"] = "transaction-left-open"
        else:
            yield Kept(6)
            return
        yield broke(6, said, step, ending.place, **more)


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
    scenes=(Line(), Crowd(), Family(), Cancelled(), Failing()),
    praise=praise,
    leaves_nothing=8,
    # A pool that is not closed has tasks of its own.
    explains_tasks=("unclosed-resource", "dropped-task"),
)

FIGURES = (Figure("seconds_on_a_slow_line", "Two audits on a slow line take", "s", 1.41),)
