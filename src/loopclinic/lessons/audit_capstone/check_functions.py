"""First scene of lab 14's check: what each of the ten functions does on a slow line, and how long it keeps the loop."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from time import thread_time
from types import ModuleType
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

AWAIT_IT = "Await the database by an async driver, or do the whole unit of work on a thread."
_LET_IT_WORK = "Convert it whole: what it takes, what it awaits, what it returns."
_STORES, _ANALYZES, _FAILS = 6, 7, 10
"""Numbers of functions: up to the first, one that gives nothing hides those that come after it."""
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
        asked: Asked
        stored: Stored
        failed: Stored
        nested: bool

    async def drive(self, lab: ModuleType, stage: "Stage") -> Any:
        await stage.outside(lay_out, stage.services["postgres"])
        return await super().drive(lab, stage)

    def prepare(self, stage: "Stage") -> None:
        mixed = [one for one in companies() if _mixed(one.queries)]
        self.good, self.bad = stage.rng.sample(mixed, 2)
        for one in self.providers:
            one.fails = self.bad.name
            one.latency = _ANSWERS
        with Steps():  # under which it runs
            self.resamples = _resamples_of(_COMPUTES)

    async def meet(self, found: Any) -> None:
        good, bad = await self.queue([self.good, self.bad])
        with Steps() as steps:
            async with self.stage.watch_loop() as watch:
                call = self.run()
                watch.calls.append(call)
                found.ending = await call.settled(7.0)
        found.nested = watch.found.nested
        found.raised, found.held = steps.raised, steps.held(self._stops())
        found.asked = self._asked()
        found.stored, found.failed = await self.stored([good]), await self.stored([bad])
        loop = watch.found
        self.stage.vital(
            seconds_on_a_slow_line=round(loop.seconds, 3), loop_busy=round(loop.busy, 3)
        )

    def _stops(self) -> Any:
        return [one for one in self.stage.probe.stalls if one.started >= self._began]

    def _asked(self) -> Asked:
        due, other = set(self.good.queries), self.bad.name.lower()
        by_name = {
            one.name: [query for query, _ in one.asked if other not in query.lower()]
            for one in self.providers
        }
        asked = {query for queries in by_name.values() for query in queries}
        foreign = min(asked - due, default="")
        said = " ".join(asked | {"" if foreign else " ".join(due)})
        parts = {
            "name": self.good.name,
            "industry": self.good.industry,
            "competitors": ", ".join(sorted(self.good.competitors)),
        }
        lacks = next((name for name, part in parts.items() if part not in said), "")
        uneven = sum(sorted(queries) != sorted(asked) for queries in by_name.values())
        lacks = "" if "{" in foreign else lacks  # written otherwise, or not filled in
        return Asked(len(asked & due), foreign, lacks if asked else "", uneven if asked else 0)

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
        if not told and not found.raised:
            step, timed = "See what stopped it: both audits can be ended.", ending.overdue
            said = f"With two audits queued, `run` {ending}."
            yield broke(11, said, step, ending.place, timed=timed)
        trouble = self.troubles(found)
        # What comes after a function that gave nothing can't be seen.
        first = min((one for one in trouble if one <= _STORES), default=len(FUNCTIONS))
        for number in range(1, len(FUNCTIONS) + 1):
            seen = number <= first or number == _FAILS
            if judged.breaks(number):
                continue
            if number in trouble and seen:
                said, place, step = trouble[number]
                yield broke(number, said, step, place)
            elif told and seen and number not in trouble:
                yield Kept(number)

    @staticmethod
    def _stops_the_loop(number: int, name: str, held: Held) -> Said:
        conflict = held.conflict
        said = f"`{name}` stops the loop: {held.place.quoted} kept it for {span(held.seconds)}, "
        said += f"with a round trip of {span(LINE)} to the database."
        step = AWAIT_IT
        if conflict == "cpu-bound":
            said = f"`{name}` computes on the loop: {held.place.quoted} kept it for {span(held.seconds)}."
            step = "Compute on a thread, or in a process: the loop serves every audit."
        measured = f"{held.seconds / LINE:.1f} x the line there and back"
        more = {"measured": measured, "budget": str(STALL), "conflict": conflict}
        timed = held.seconds < 2 * LINE
        return broke(number, said, step, held.place, timed=timed, **more)

    @classmethod
    def troubles(cls, found: "Line.Found") -> dict[int, Trouble]:
        """Return what is wrong with what functions did, by number, however long they kept the loop."""
        return dict(cls._raised(found)) | cls._wrong(found)

    @staticmethod
    def _raised(found: "Line.Found") -> Iterator[tuple[int, Trouble]]:
        """Yield which functions raised where that was in the way, by number."""
        if found.stored.all_are("completed") and found.failed.all_are("failed"):
            return
        for number, name in enumerate(FUNCTIONS, 1):
            # To raise is right where no provider answered.
            if name in found.raised and (name != "execute_queries" or found.stored.errors):
                said, place = found.raised[name]
                yield number, (f"`{name}` raised {said}.", place, _LET_IT_WORK)

    @staticmethod
    def _wrong(found: "Line.Found") -> dict[int, Trouble]:
        """Return what is wrong with what functions did, by number."""
        asked, stored, failed = found.asked, found.stored, found.failed
        status, error = (next(iter(one.values()), "") for one in (stored.status, stored.errors))
        done, lost, rows = status == "completed", stored.missing - stored.unmoved, "response"
        doubled, left = stored.unmoved or stored.surplus, failed.rows + failed.left
        fails, due = next(iter(failed.status.values()), ""), len(companies()[0].queries)
        # Of each number, the last that is true.
        said = {
            number: what
            for number, wrong, what in (
                (1, status == "queued", "`take_audit` left a queued audit in the queue"),
                (3, asked.lacks, f"A query lacks the company's {asked.lacks}: {asked.foreign!r}"),
                (4, asked.queries < due, f"{asked.queries} of {due} queries were asked"),
                (4, asked.foreign, f"A query was asked that is none of them: {asked.foreign!r}"),
                (5, asked.uneven, f"{count(asked.uneven, 'provider')} not asked each query once"),
                (6, error, f"An audit that can be completed failed: {error}"),
                (6, stored.garbled, f"{count(stored.garbled, rows)} stored otherwise than it came"),
                (6, lost, f"{count(lost, rows)} of a completed audit in neither table"),
                (7, stored.misread, f"{count(stored.misread, rows)} with a wrong `mentioned`"),
                (
                    8,
                    stored.misscored,
                    "A score, its `low` or its `high` is not that of the answers",
                ),
                (
                    9,
                    stored.miscounted,
                    "A company's counters are not those of its completed audits",
                ),
                (
                    9,
                    done and stored.left,
                    f"{count(stored.left, 'row')} of a completed audit stayed",
                ),
                (9, doubled, f"{count(doubled, rows)} of a completed audit not moved once"),
                (9, status == "running", "An audit that could be completed is still running"),
                (10, not failed.errors, "An audit that failed has no `error`"),
                (10, failed.miscounted, "The queries of an audit that failed are counted"),
                (10, left, f"An audit that failed left {count(left, 'row')}"),
                (
                    10,
                    fails != "failed",
                    f"An audit none of whose queries was answered is '{fails}'",
                ),
            )
            if wrong
        }
        if asked.lacks:
            said.pop(4, None)
        if stored.misread:
            said.pop(8, None)
        if error or status in {"queued", "cancelled"}:
            said.pop(9, None)
        at, see = found.ending.place, "See what `{}` does."
        return {
            number: (f"{what}.", at, see.format(FUNCTIONS[number - 1]))
            for number, what in said.items()
        }


def _mixed(queries: Sequence[str]) -> bool:
    named_in = [names_it(name, query) for query in queries for name in PROVIDERS]
    return 1 < sum(named_in) < len(named_in) - 1


def _resamples_of(seconds: float) -> int:
    """Return how many resamples take so many seconds of a processor."""
    rng, many, began = Random(1), 500, thread_time()  # noqa: S311 - no secret
    for _ in range(many):
        sum(rng.choices([True, False] * 3, k=6))
    return int(many * seconds / max(thread_time() - began, 1e-6))
