"""Check of lab 14: its ten functions, then the whole job with two workers, crowded, hung, cancelled, killed."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from loopclinic.lessons.audit_capstone.audit_scene import (
    ELSEWHERE,
    PROVIDERS,
    AuditScene,
)
from loopclinic.lessons.audit_capstone.check_functions import AWAIT_IT, Line
from loopclinic.lessons.audit_capstone.queue_tables import Stored, companies
from loopclinic.lessons.core import Budget, Calls, Check, Ending, Judged, Kept, Left, Place, Said
from loopclinic.lessons.core.call import now
from loopclinic.lessons.core.figures import Figure
from loopclinic.lessons.core.verdicts import broke, left_at_work, none_of
from loopclinic.lessons.database.postgres_verdicts import (
    LINE,
    STALL,
    Cancel,
    Served,
    after_cancels,
    forgotten_when_cancelled,
    meanwhile,
    too_many,
)
from loopclinic.lessons.database.scenes import Database
from loopclinic.lessons.database.sessions import Session, named
from loopclinic.servers.server_process import ServerError
from loopclinic.servers.slow_proxy import SlowLine
from loopclinic.units import count, span

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

CANCEL = Budget(
    0.5,
    "s",
    "A right answer takes milliseconds; one that waits for its statement, as long as that.",
)
SHARE = Budget(
    0.6,
    "of the bound",
    "A right answer reaches 0.85; one query at a time 0.33, `size` audits 0.25.",
)
EARLY = Budget(
    0.5,
    "of `timeout`",
    "A right answer asks all within 0.1; behind a query that hangs it is 1 or more.",
)

# Kept from before a lab is imported, which may replace them.
_sleep, _wait_for = asyncio.sleep, asyncio.wait_for

_AGAIN = "update audits set status = 'queued' where status = 'running'"
_SET_CANCELLED = "update audits set status = 'cancelled' where id = %s"
_HOLD_QUESTIONS = "lock table questions in access exclusive mode"
"""Whoever reads the questions waits."""
_HOLD_COMPANIES = "select 1 from companies for no key update"
"""Whoever writes a company's row waits."""
_ONE_UNIT = (
    "Store all of an audit in one transaction, at its end, or remove what an earlier try left."
)
_DRY = ("PoolError", "PoolTimeout", "TooManyConnections", "too many clients", "exhausted")


def faulty(judged: Judged, *functions: int) -> bool:
    """Return whether one of these functions did something else than it should, even with one audit."""
    return not Line.troubles(judged.expect(Line)).keys().isdisjoint(functions)


class Workers(AuditScene):
    """Two workers at one queue, on a slow line: both look at the same moment."""

    title, promises = "two workers at one queue", (1,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """How often an audit was taken once more."""

        served: Served
        endings: list[Ending]
        twice: int
        place: Place | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> Any:
        database = await stage.shared(Database, stage)
        self.line = SlowLine(database.dsn, there_and_back=LINE)
        async with database.at_work(self.line) as self.slow:
            return await super().drive(lab, stage)

    def open(self, dsn: str) -> Any:
        del dsn
        return super().open(named(self.slow, self.name))

    async def meet(self, found: Any) -> None:
        await self.queue(self.some(2))
        for one in self.providers:
            one.gate.clear()
        async with self.open("") as other:
            calls = Calls({0: self.run(), 1: self.run(other)})
            await self.until_asked(2, 3.0)
            asked, ends = -1, now() + 2.0
            while asked < self.asked and now() < ends:
                asked = self.asked
                await _sleep(6 * LINE)
            found.twice, found.place = self.twice(), self.run_at
            self.line.delay = 0.0
            for one in self.providers:
                one.gate.set()
            found.endings = await calls.settled(3.0)

    def reasons(self, found: "Workers.Found", judged: Judged) -> Iterator[Said]:
        if faulty(judged, 1, 5):
            return
        if found.twice:
            said = "Two workers took one audit: its models were asked twice."
            step = "Take it in one statement: update ... where id = (select ... for update skip locked limit 1)."
            yield broke(
                1,
                said,
                step,
                found.place,
                **none_of(found.twice, "query asked twice", "queries asked twice"),
            )
        elif all(one.returned for one in found.endings):
            yield Kept(1)


class Crowd(AuditScene):
    """Thirty audits at once, three of each company, at providers with limits."""

    many, limit, latency = 30, 30, 1.2
    resamples = 20
    title, promises = f"{many} audits at once, with {AuditScene.size} connections", (11, 15)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of them."""

        served: Served
        ending: Ending
        seconds: float
        under_way: int
        """Queries that providers were answering when time was up."""
        refused: int
        holding: list[Session]
        """Sessions with a transaction open while models were asked."""
        stored: Stored
        peak: int
        place: Place | None

    @property
    def bound(self) -> float:
        """Seconds that the providers need at least."""
        return self.many * len(companies()[0].queries) / self.limit * self.latency

    def prepare(self, stage: "Stage") -> None:
        for one in self.providers:
            one.limit, one.latency = self.limit, self.latency

    async def meet(self, found: Any) -> None:
        of = [*companies()] * (self.many // len(companies()))
        self.stage.rng.shuffle(of)
        await self.queue(of)
        async with self.database.watch(self.name) as seen:
            call = self.run()
            await self.until_asked(len(PROVIDERS), 1.0, call)
            await call.within(self.latency / 2)
            sessions = await self.database.sessions(self.name)
            found.holding = [one for one in sessions if one.state.startswith("idle in transaction")]
            found.place = call.look() or self.run_at
            await call.within(self.bound / SHARE.limit + 1.5)
            found.under_way = sum(one.under_way for one in self.providers)
            if not call.done and not found.under_way:
                sessions = await self.database.sessions(self.name)
                found.holding = [one for one in sessions if one.in_transaction]
            found.ending = await call.settled(0.0)
            found.seconds = call.seconds()
        found.refused, found.peak = sum(one.refused for one in self.providers), seen.peak
        found.stored = await self.stored()
        self.stage.vital(of_the_bound=round(self.bound / found.seconds, 3))

    def reasons(self, found: "Crowd.Found", judged: Judged) -> Iterator[Said]:
        ending, place = found.ending, found.place
        who = f"With {self.many} audits queued"
        if ending.returned and ending.value == str(self.many):
            yield Kept(11)
        elif not (ending.overdue and found.under_way):
            step = "Let `run` return when all that it took has ended, and let none wait for what another holds."
            said = f"{who}, `run` {ending}.{meanwhile(found.holding)}"
            dry = "pool-starvation" if found.holding and ending.overdue else None
            at = ending.place or place
            yield broke(11, said, step, at, timed=ending.overdue, conflict=dry)
            return
        before = len(judged.reasons)
        yield from self._connections(found, who)
        if (held := judged.expect(Line).held.get(ELSEWHERE)) and held.seconds > STALL.limit * LINE:
            said = f"Outside of the ten functions, {held.place.quoted} stops the loop for {span(held.seconds)}."
            yield broke(15, said, AWAIT_IT, held.place, conflict=held.conflict)
        if len(judged.reasons) > before:
            return
        if found.stored.miscounted and found.stored.all_are("completed") and not faulty(judged, 9):
            wrong = count(found.stored.miscounted, "company", "companies")
            said = (
                f"After {self.many} audits, the counters of {wrong} are not those of their audits."
            )
            step = "Let PostgreSQL add: set audits_done = audits_done + 1."
            yield broke(9, said, step, place)
        share = self.bound / found.seconds
        if share < SHARE.limit or ending.overdue:
            said = f"{who}, the providers could do them in {span(self.bound)}; it took {span(found.seconds)}."
            step = "Ask all queries of an audit at once, each provider up to its limit."
            more: dict[str, Any] = {"conflict": "sequential-awaits"}
            if found.holding:
                said += meanwhile(found.holding)
                step = "Give the connection back before you ask a model."
                more = {"conflict": "pool-starvation"}
            more |= {"measured": f"{share:.0%} of the bound", "budget": f"{SHARE.limit:.0%}"}
            yield broke(15, said, step, place, timed=True, **more)
        else:
            yield Kept(15)

    def _connections(self, found: "Crowd.Found", who: str) -> Iterator[Said]:
        place, errors = found.place, [*found.stored.errors.values()]
        step = "Open one pool in open_processor, and take every connection from it."
        yield from too_many(found.peak, self.size, place, promise=15, next_step=step)
        if found.refused:
            said = f"{who}, a provider was asked more than its limit at a time: {found.refused} queries were refused."
            step = "One asyncio.Semaphore(provider.limit) for each provider, for all audits."
            yield broke(
                15,
                said,
                step,
                place,
                conflict="unbounded-gather",
                **none_of(found.refused, "query refused", "queries refused"),
            )
        elif errors:
            dry = any(word in errors[0] for word in _DRY)
            said = f"{who}, {len(errors)} failed: {errors[0]}."
            step = "Wait for a connection, and hold none while you wait for something else."
            yield broke(15, said, step, place, conflict="pool-starvation" if dry else None)


class Hanging(AuditScene):
    """One provider never answers, another fails for one company."""

    many, timeout = 4, 1.0
    title, promises = "a provider that hangs", (14,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of the audits, and when the other providers were asked."""

        served: Served
        ending: Ending
        early: int
        """Queries that the others were asked before they could have waited for the one that hangs."""
        stored: Stored
        place: Place | None

    def prepare(self, stage: "Stage") -> None:
        self.of = stage.rng.sample(companies(), self.many)
        self.providers[-1].hangs = True
        self.providers[1].fails = self.of[0].queries[0]

    async def meet(self, found: Any) -> None:
        await self.queue(self.of)
        call = self.run()
        await call.within(self.timeout)
        found.place = call.look() or self.run_at
        found.ending = await call.settled(2.5)
        latest = call.began + EARLY.limit * self.timeout
        found.early = sum(when < latest for one in self.providers[:-1] for _, when in one.asked)
        silent = [(PROVIDERS[-1], query) for one in self.of for query in one.queries]
        silent.append((PROVIDERS[1], self.providers[1].fails))
        found.stored = await self.stored(unanswered=silent)

    def reasons(self, found: "Hanging.Found", judged: Judged) -> Iterator[Said]:
        stored, place, ending = found.stored, found.place, found.ending
        if faulty(judged, 3, 4, 5):
            return
        due = self.many * len(companies()[0].queries) * (len(PROVIDERS) - 1)
        more: dict[str, Any] = {"timed": ending.overdue}
        if not ending.returned and not stored.all_are("completed"):
            said = f"A provider hung, with a `timeout` of {span(self.timeout)}, and `run` {ending}."
            step = "async with asyncio.timeout(timeout) around each query."
            more["conflict"] = "missing-timeout" if ending.overdue else None
        elif found.early < due:
            said = f"While a provider hung, {found.early} of {due} queries of the others had been asked."
            step = "Ask all queries at once: none is in the way of another."
            more = {"conflict": "sequential-awaits", "timed": True}
            more |= {"measured": f"{found.early} of {due} queries", "budget": f"all within {EARLY}"}
        elif not stored.all_are("completed"):
            bad = sum(one != "completed" for one in stored.status.values())
            error = next(iter(stored.errors.values()), "no error")
            said = (
                f"Some queries had no answer, and {count(bad, 'audit')} did not complete: {error}."
            )
            step = "Catch what a query raises where it is asked, and keep it as its response."
            more = {"conflict": "unisolated-failure"}
        elif (stored.missing or stored.garbled) and not faulty(judged, 6, 9):
            said = f"{count(stored.missing or stored.garbled, 'response')} of a query without an answer "
            said += "is missing, or has no `error`."
            step = "Store a response with its error: what is dropped looks as if it had never been asked."
            more = {"conflict": "masked-failure"}
        elif faulty(judged, 6, 9):
            return
        else:
            yield Kept(14)
            return
        yield broke(14, said, step, place, **more)


class Cancelled(AuditScene):
    """Audits that are cancelled by their status, then a run that is cancelled; then the next run."""

    title, promises, cancels = "audits that are cancelled, and a run that is", (2, 13), True

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of them."""

        served: Served
        asked: int = 0
        """Queries of an audit that was cancelled before."""
        locked: bool = False
        """Whether an audit could not be set to cancelled, since its row was locked."""
        status: str = ""
        """Of the audit that was cancelled while it asked."""
        rows: int = 0
        """What was stored of it."""
        counted: int = 0
        asking: Cancel | None = None
        left: Left | None = None
        storing: Cancel | None = None
        after: tuple[Ending, ...] = ()
        place: Place | None = None
        by_status: Ending | None = None
        surplus: int = 0

    async def meet(self, found: Any) -> None:
        found.place = self.run_at
        await self._before_it_asks(found)
        if not self.database.stuck:
            await self._while_it_asks(found)
        if not self.database.stuck:
            await self._run(found)

    async def _before_it_asks(self, found: Any) -> None:
        (due,) = await self.queue(self.some(1))
        async with self.database.holding(_HOLD_QUESTIONS):
            call = self.run()
            await self.database.until_waiting(self.name, 1, 0.5)
            await self.database.rows(_SET_CANCELLED, due.id)
        await call.settled(2.0)
        found.asked = self.asked

    async def _while_it_asks(self, found: Any) -> None:
        (due,) = await self.queue(self.some(1))
        self._close_gates()
        call, before = self.run(), self.asked
        await self.until_asked(before + 1, 1.5, call)
        await _sleep(0.05)
        try:
            await self.database.rows("set lock_timeout = '300ms'")
            await self.database.rows(_SET_CANCELLED, due.id)
        except ServerError:
            found.locked = True
        await self.database.rows("set lock_timeout = 0")
        self._open_gates()
        found.by_status = await call.settled(2.0)
        stored = await self.stored([due])
        found.status, found.rows = stored.status[due.id], stored.rows + stored.left
        found.counted = stored.miscounted

    async def _run(self, found: Any) -> None:
        await self.database.rows(_COUNT)
        due = await self.queue(self.some(2))
        self._close_gates()
        call, before = self.run(), self.asked
        async with self.stage.count_leftovers(call) as census:
            await self.until_asked(before + 2, 1.5, call)
            found.asking = await self.cancel(Calls({0: call}), CANCEL.limit)
        found.left = census.left
        self._open_gates()
        if found.asking.open:
            return
        await self.database.rows(_AGAIN)
        async with self.database.holding(_HOLD_COMPANIES):
            call = self.run()
            await self.database.until_waiting(self.name, 1, 1.5)
            found.storing = await self.cancel(Calls({0: call}), CANCEL.limit)
        await _sleep(0.2)  # what went on comes to its end
        done = (await self.stored(due)).status.values()
        found.storing = replace(found.storing, stored=sum(one == "completed" for one in done))
        await self.database.rows(_AGAIN)
        found.after = (await self.run().settled(2.0),)
        found.surplus = (await self.stored(due)).surplus

    def _close_gates(self) -> None:
        for one in self.providers:
            one.gate.clear()

    def _open_gates(self) -> None:
        for one in self.providers:
            one.gate.set()

    def reasons(self, found: "Cancelled.Found", judged: Judged) -> Iterator[Said]:
        place = found.place
        if found.asked:
            said = "An audit was cancelled before its models were asked, and they were asked all the same."
            yield broke(
                2,
                said,
                "Look right before you ask.",
                place,
                **none_of(found.asked, "query", "queries"),
            )
        elif not found.asked:
            yield Kept(2)
        if found.by_status is None:
            return
        before = len(judged.reasons)
        yield from self._by_status(found, place)
        who = "`run` was cancelled while an audit asked"
        if found.asking is not None and len(judged.reasons) == before:
            yield from forgotten_when_cancelled(found.asking, CANCEL, who, "audit", promise=13)
        if found.left and found.left.tasks and len(judged.reasons) == before:
            said = f"{who}, and ended, but left {count(found.left.tasks, 'task')} at work."
            step = "Start audits in an asyncio.TaskGroup: it cancels them, and waits for their end."
            at = found.left.place or place
            yield left_at_work(said, found.left.tasks, at, promise=13, next_step=step)
        who = "`run` was cancelled while an audit stored"
        storing = found.storing
        if storing is not None and storing.place is None and storing.endings[0].returned:
            return  # it did not wait for what was held: nothing was cancelled
        if storing is not None and len(judged.reasons) == before:
            yield from forgotten_when_cancelled(storing, CANCEL, who, "audit", promise=13)
        if len(judged.reasons) == before and not judged.breaks(11):
            yield from after_cancels(found.after, "runs", promise=13)
        if len(judged.reasons) == before and found.after:
            yield Kept(13)
        if found.surplus and not faulty(judged, 5, 6, 9):
            said = (
                "A run was cancelled while an audit stored, and when the audit was queued again, "
            )
            said += f"{count(found.surplus, 'response')} of it were stored twice."
            yield broke(12, said, _ONE_UNIT, place, **none_of(found.surplus, "response"))

    def _by_status(self, found: "Cancelled.Found", place: Place | None) -> Iterator[Said]:
        if found.locked:
            said = "An audit could not be set to cancelled while it asked: its row was locked."
            yield broke(
                13,
                said,
                "Hold no lock while a model is asked.",
                place,
                conflict="transaction-left-open",
            )
        elif found.status != "cancelled":
            said = f"An audit that was cancelled while it asked ended as '{found.status}'."
            yield broke(
                13,
                said,
                "Move the status by `update ... where id = %s and status = 'running'`.",
                place,
            )
        elif found.rows or found.counted:
            said = f"An audit that was cancelled while it asked left {count(found.rows, 'row')}"
            said += ", and its company's counters are wrong." * bool(found.counted)
            step = "Store all of it in one transaction, which ends without a commit if the status is not 'running'."
            yield broke(13, said, step, place, **none_of(found.rows, "row"))


_COUNT = """
    update companies set
        audits_done = (select count(*) from audits where company_id = companies.id and status = 'completed'),
        queries_asked = (select count(*) from audits where company_id = companies.id and status = 'completed')
            * (select count(*) from questions)
"""


class Killed(AuditScene):
    """A worker ends in the middle of its audits, which are queued again for another worker."""

    title, promises, cancels = "a worker that is killed, and its audits again", (12,), True

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of its audits."""

        served: Served
        under_way: int
        ending: Ending
        stored: Stored
        place: Place | None

    async def meet(self, found: Any) -> None:
        due, first = await self.queue(self.some(3)), f"{self.name} 1"
        for one in self.providers:
            one.waits = frozenset(query for each in due for query in each.company.queries[1:])
            one.gate.clear()
        manager = self.open(named(self.database.dsn, first))
        async with AsyncExitStack() as stack:
            dead = await _wait_for(stack.enter_async_context(manager), 4.0)
            call = self.run(dead)
            await self.until_asked(2 * len(due), 1.5, call)
            await _sleep(0.1)
            found.place = call.look() or self.run_at
            await self.database.outside(self.database.monitor.end, first)
            await _sleep(0.1)
            found.under_way = len(
                await self.database.rows("select 1 from audits where status = 'running'")
            )
            await self.database.rows(_AGAIN)
            for one in self.providers:
                one.waits = frozenset({"no query"})
            found.ending = await self.run().settled(3.0)
            found.stored = await self.stored()
            await call.settled(0.0)
            with suppress(Exception):
                await _wait_for(stack.pop_all().aclose(), 2.0)

    def reasons(self, found: "Killed.Found", judged: Judged) -> Iterator[Said]:
        stored, place = found.stored, found.place
        if not found.under_way or judged.breaks(11):
            return
        said = ""
        who = "An audit whose worker was killed was queued again"
        if not found.ending.returned:
            said = f"{who}, and `run` {found.ending}."
        elif not stored.all_are("completed"):
            bad = next(one for one in stored.status.values() if one != "completed")
            error = next(iter(stored.errors.values()), "")
            said = f"{who}, and ended as '{bad}'{': ' * bool(error)}{error}."
        elif stored.surplus:
            said = (
                f"{who}, and {count(stored.surplus, 'response')} more than were asked are stored."
            )
        elif faulty(judged, 4, 5, 6, 9):
            return
        elif wrong := stored.missing + stored.garbled:
            said = f"{who}, and {count(wrong, 'response')} of it is not stored once, as it came."
        elif stored.miscounted:
            said = f"{who}, and its company is counted as if it had run more than once."
        elif stored.left:
            said = f"{who}, and {count(stored.left, 'row')} of its first try stayed."
        if said:
            yield broke(12, said, _ONE_UNIT, place, timed=found.ending.overdue)
        else:
            yield Kept(12)


def praise(judged: Judged) -> str:
    """Return the sentence of a pass, with its best numbers."""
    crowd = judged.expect(Crowd)
    share = Crowd().bound / crowd.seconds
    return (
        f"All ten functions let the loop go on. {Crowd.many} audits shared {crowd.peak} connections and took "
        f"{span(crowd.seconds)}, {share:.0%} of what the providers allow; cancelled, hung and killed, the job "
        f"left nothing and lost nothing."
    )


CHECK = Check(
    scenes=(Line(), Workers(), Crowd(), Hanging(), Cancelled(), Killed()),
    praise=praise,
    leaves_nothing=11,
    explains_tasks=("unclosed-resource", "dropped-task"),
)

FIGURES = (Figure("of_the_bound", "Thirty audits at once reach", "of the bound", 0.93),)
