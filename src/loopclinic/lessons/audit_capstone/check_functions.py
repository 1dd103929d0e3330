"""First scene of lab 14's check: what each of the ten functions does on a slow line, and how long it keeps the loop."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from time import thread_time
from timeit import repeat
from typing import Any

from loopclinic.lessons.audit_capstone.audit_scene import (
    FUNCTIONS,
    PROVIDERS,
    AuditScene,
    Held,
    Steps,
)
from loopclinic.lessons.audit_capstone.queue_tables import Stored, companies, lay_out, names_it
from loopclinic.lessons.core import Ending, Judged, Kept, Place, Said
from loopclinic.lessons.core.verdicts import broke, nested_loop
from loopclinic.lessons.database.postgres_verdicts import LINE, STALL, Served
from loopclinic.units import count, span

AWAIT_IT = "Await the database by an async driver, or do the whole unit of work on a thread."
ALONE = "Let an audit's error end that audit alone: handle it, and do not raise it again."
ONE_UNIT = "Store an audit in one transaction, at its end, or remove what an earlier try left."
_LET_IT_WORK = "Convert it whole: what it takes, what it awaits, what it returns."
_ITS_OWN = "Take a connection from a pool for each unit of work: none is for two tasks at once."
_SHARED = ("TransactionNesting", "another operation is in progress", "another command is already")
"""What drivers say of a connection that several tasks use."""
_STORES, _FAILS = 6, 10
"""Numbers of functions: up to the first, one that gives nothing hides those after it; from there on, an audit
that did not complete shows nothing."""
_COMPUTES = 0.2
"""Seconds of a processor that a score takes on the slow line."""
_ANSWERS = 0.15
"""Seconds of an answer there: the audit that fails is over before the other computes its score."""
_LONG = 5.0
"""Seconds that the loop may stand still there before a call is broken off."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the providers were asked about one company."""

    queries: int
    """Of those due, that any provider was asked."""
    foreign: str
    """A query that is none of those due."""
    lacks: str
    """What the queries should say of the company and did not, if one was foreign."""
    uneven: int
    """Providers that were not asked each of the queries once."""
    again: int = 0
    """How often a query that had no answer was asked once more."""


Trouble = tuple[str, Place | None, str]
"""What is wrong, where, and what to do."""


class Line(AuditScene):
    """An audit and one that fails, on a line on which each wait for the database is long enough to see."""

    on_slow_line, patience = True, _LONG
    title = "an audit, and one that fails, on a slow line to the database"
    promises = tuple(range(1, 11))

    @dataclass(frozen=True, slots=True)
    class Found:
        """What the ten functions did."""

        served: Served
        ending: Ending
        held: dict[str, Held]
        raised: dict[str, tuple[str, Place]]
        defined: dict[str, Place]
        called: dict[str, Place]
        asked: Asked
        stored: Stored
        failed: Stored
        nested: bool

    async def drive(self, lab: Any, stage: Any) -> Any:
        await stage.outside(lay_out, stage.services["postgres"])
        return await super().drive(lab, stage)

    def prepare(self) -> None:
        mixed = [one for one in companies() if _mixed(one.queries)]
        self.good, self.bad = self.stage.rng.sample(mixed, 2)
        for one in self.providers:
            one.fails, one.latency = self.bad.name, _ANSWERS
        self.resamples = _resamples_of(_COMPUTES)

    async def meet(self, found: Any) -> None:
        good, bad = await self.queue([self.good, self.bad])
        with Steps() as steps:
            async with self.stage.watch_loop() as watch:
                call = self.run()
                watch.calls.append(call)
                found.ending = await call.settled(7.0)
        found.nested = watch.found.nested
        stalls = [one for one in self.stage.probe.stalls if one.started >= self._began]
        found.raised, found.held = steps.raised, steps.held(stalls)
        found.defined, found.called = steps.defined, steps.called
        found.asked = self._asked()
        found.stored, found.failed = await self.stored([good]), await self.stored([bad])
        seconds, busy = round(watch.found.seconds, 3), round(watch.found.busy, 3)
        self.stage.vital(seconds_on_a_slow_line=seconds, loop_busy=busy)

    def _asked(self) -> Asked:
        due, other = set(self.good.queries), self.bad.name.lower()
        all_of = [[query for query, _ in one.asked] for one in self.providers]
        of_bad = [[query for query in queries if other in query.lower()] for queries in all_of]
        again = sum(len(queries) - len({*queries}) for queries in of_bad)
        of_good = [[query for query in queries if other not in query.lower()] for queries in all_of]
        asked = {query for queries in of_good for query in queries}
        foreign = min(asked - due, default="")
        said = " ".join(asked | {"" if foreign else " ".join(due)})
        parts = {"name": self.good.name, "industry": self.good.industry}
        parts["competitors"] = ", ".join(sorted(self.good.competitors))
        lacks = next((name for name, part in parts.items() if part not in said), "")
        uneven = sum(sorted(queries) != sorted(asked) for queries in of_good)
        lacks = "" if "{" in foreign else lacks  # written otherwise, or not filled in
        lacks, uneven = (lacks, uneven) if asked else ("", 0)
        return Asked(len(asked & due), foreign, lacks, uneven, again)

    def judge(self, found: "Line.Found", judged: Judged) -> Iterator[Said]:
        if found.served.opening is None and found.served.stuck is None and found.ending:
            yield from nested_loop([found.ending], promise=11)
        if found.served.stuck is not None:
            yield from self._held(found)
        if not judged.has("nested-loop"):
            yield from super().judge(found, judged)

    def _held(self, found: "Line.Found") -> Iterator[Said]:
        for number, name in enumerate(FUNCTIONS, 1):
            held = found.held.get(name)
            if held is not None and held.seconds > STALL.limit * LINE:
                yield self._stops_the_loop(number, name, held)

    def reasons(self, found: "Line.Found", judged: Judged) -> Iterator[Said]:
        yield from self._held(found)
        ending, told = found.ending, found.ending.returned
        raised, done = dict(self._raised(found)), found.stored.all_are("completed")
        # Of one that is not over, the crowd says more.
        if not told and not (found.raised if ending.overdue else raised):
            step, place = "See what stopped it: both audits can be ended.", ending.place
            more: dict[str, Any] = {"timed": ending.overdue}
            if found.raised.get("execute_queries", ("nothing",))[0] in ending.message:
                step, more = ALONE, {"conflict": "unisolated-failure"}
                place = found.called.get("execute_queries", place)
            said = f"With two audits queued, `run` {ending}."
            yield broke(11, said, step, place, **more)
        trouble = self.troubles(found)
        # What comes after a function that gave nothing can't be seen.
        first = min((one for one in trouble if one <= _STORES or one in raised), default=_FAILS)
        for number in range(1, len(FUNCTIONS) + 1):
            seen = number <= first or number == _FAILS
            if judged.breaks(number):
                continue
            if number in trouble and seen:
                said, place, step = trouble[number]
                shared = "shared-connection" if step == _ITS_OWN else None
                yield broke(number, said, step, place, conflict=shared)
            elif told and seen and (done or not _STORES <= number < _FAILS):
                yield Kept(number)

    @staticmethod
    def _stops_the_loop(number: int, name: str, held: Held) -> Said:
        conflict, step = held.conflict, AWAIT_IT
        said = f"`{name}` stops the loop: {held.place.quoted} kept it for {span(held.seconds)}, "
        said += f"with a round trip of {span(LINE)} to the database."
        if conflict == "cpu-bound":
            said = f"`{name}` computes on the loop: {held.place.quoted} kept it for {span(held.seconds)}."
            step = "Compute on a thread, or in a process: the loop serves every audit."
        elif conflict == "blocking-sync-primitive":
            step = "Await what you gave to another thread: the loop waits for it here."
        measured = f"{held.seconds / LINE:.1f} x the line there and back"
        more = {"measured": measured, "budget": str(STALL), "conflict": conflict}
        timed = not held.named or held.seconds < 2 * LINE
        return broke(number, said, step, held.place, timed=timed, **more)

    @classmethod
    def troubles(cls, found: "Line.Found") -> dict[int, Trouble]:
        """Return what is wrong with what functions did, by number, however long they kept the loop."""
        raised, wrong = dict(cls._raised(found)), cls._wrong(found)
        if raised and found.stored.errors:
            wrong.pop(_STORES, None)  # that audit failed by what was raised
        return raised | wrong

    @staticmethod
    def _raised(found: "Line.Found") -> Iterator[tuple[int, Trouble]]:
        """Yield which functions raised where that was in the way, by number."""
        if found.stored.all_are("completed") and found.failed.all_are("failed"):
            return
        # To raise is right where no provider answered.
        only = found.stored.errors and found.raised.keys() <= {"execute_queries", FUNCTIONS[-1]}
        for number, name in enumerate(FUNCTIONS, 1):
            if name in found.raised and (name != "execute_queries" or only):
                said, place = found.raised[name]
                step = _ITS_OWN if any(one in said for one in _SHARED) else _LET_IT_WORK
                yield number, (f"`{name}` raised {said}.", place, step)

    @staticmethod
    def _wrong(found: "Line.Found") -> dict[int, Trouble]:
        """Return what is wrong with what functions did, by number."""
        asked, stored, failed = found.asked, found.stored, found.failed
        status, error = (next(iter(one.values()), "") for one in (stored.status, stored.errors))
        done, lost, rows = status == "completed", stored.missing - stored.unmoved, "response"
        doubled, left = stored.unmoved or stored.surplus, failed.rows + failed.left
        fails, due = next(iter(failed.status.values()), ""), len(companies()[0].queries)
        # No provider answers a query about the company whose audit is to fail.
        others = asked.uneven and fails == "completed"
        # If `run` raised, that may have ended it.
        stays = status == "running" and (found.ending.returned or found.ending.overdue)
        # Of each number, the last that is true.
        said = {
            number: what
            for number, wrong, what in (
                (1, status == "queued", "`take_audit` left a queued audit in the queue"),
                (3, asked.lacks, f"A query lacks the company's {asked.lacks}: {asked.foreign!r}"),
                (4, asked.queries < due, f"{asked.queries} of {due} queries were asked"),
                (4, asked.foreign, f"A query was asked that is none of them: {asked.foreign!r}"),
                (4, others, "The queries of one company were asked for another"),
                (5, asked.again, f"A query without an answer was asked again, {asked.again} times"),
                (5, asked.uneven, f"{count(asked.uneven, 'provider')} not asked each query once"),
                (6, error, f"An audit that can be completed failed: {error}"),
                (6, stored.garbled, f"{count(stored.garbled, rows)} stored otherwise than it came"),
                (6, lost, f"{count(lost, rows)} of a completed audit in neither table"),
                (7, stored.misread, f"{count(stored.misread, rows)} with a wrong `mentioned`"),
                (8, stored.misscored, "A score, its `low` or `high` is not that of the answers"),
                (9, stored.miscounted, "A company's counters do not count its completed audits"),
                (9, done and stored.left, f"{count(stored.left, 'row')} of a completed one stayed"),
                (9, doubled, f"{count(doubled, rows)} of a completed audit not moved once"),
                (9, stays, "An audit that could be completed is still running"),
                (10, not failed.errors, "An audit that failed has no `error`"),
                (10, failed.miscounted, "The queries of an audit that failed are counted"),
                (10, left, f"An audit that failed left {count(left, 'row')}"),
                (10, fails != "failed", f"An audit of which no query was answered is '{fails}'"),
            )
            if wrong
        }
        if asked.lacks:
            said.pop(4, None)
        if others:
            said = {4: said[4]}
        if stored.misread:
            said.pop(8, None)
        if error or status in {"queued", "cancelled"}:
            said.pop(9, None)
        names = {number: FUNCTIONS[number - 1] for number in said}
        other = found.called.get("execute_queries", found.ending.place)
        at = {number: found.defined.get(name, other) for number, name in names.items()}
        steps = {
            number: f"See what `{name}` does{', and who calls it' * (name not in found.defined)}."
            for number, name in names.items()
        }
        if failed.miscounted and not left and fails == "failed":
            steps[_FAILS] = "Count queries where their audit is completed, in the same transaction."
        return {number: (f"{what}.", at[number], steps[number]) for number, what in said.items()}


def faulty(judged: Judged, *functions: int) -> bool:
    """Return whether one of these functions did something else than it should, even with one audit."""
    return not Line.troubles(judged.expect(Line)).keys().isdisjoint(functions)


def _mixed(queries: Sequence[str]) -> bool:
    named_in = [names_it(name, query) for query in queries for name in PROVIDERS]
    return 1 < sum(named_in) < len(named_in) - 1


def _resamples_of(seconds: float) -> int:
    """Return how many resamples take at least so many seconds of a processor, though some of five tries are slow."""
    rng, many = Random(1), 500  # noqa: S311 - no secret

    def one() -> None:
        sum(rng.choices([True, False] * 3, k=6))

    return int(many * seconds / min(repeat(one, timer=thread_time, number=many, repeat=5)))
