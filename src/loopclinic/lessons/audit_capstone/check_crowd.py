"""Scenes of lab 14's check with many audits at once: at providers with limits, and at one that hangs."""

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from psycopg_pool.base import BasePool

from loopclinic.lessons.audit_capstone.audit_scene import ELSEWHERE, PROVIDERS, AuditScene
from loopclinic.lessons.audit_capstone.check_functions import ALONE, AWAIT_IT, Line, faulty
from loopclinic.lessons.audit_capstone.queue_tables import Stored, companies
from loopclinic.lessons.core import Budget, Ending, Judged, Kept, Place, Said
from loopclinic.lessons.core.verdicts import broke, none_of
from loopclinic.lessons.database.postgres_verdicts import LINE, STALL, Served, meanwhile, too_many
from loopclinic.lessons.database.sessions import Session
from loopclinic.units import count, span

SHARE = Budget(
    0.6, "of the bound", "A right one reaches 0.85; a query at a time 0.33, 4 audits 0.25."
)
EARLY = Budget(0.5, "of `timeout`", "A right one asks all within 0.1; behind a hang it is 1.")
_MOMENT = 0.3
"""Seconds from which on a transaction is not one between two statements, but held while a model is asked."""
_UNITS = 12
"""Connections taken for an audit. A right answer takes 6."""
_GAVE_WAY = ("SerializationFailure", "SerializationError", "DeadlockDetected")
_DRY = ("PoolError", "PoolTimeout", "TooManyConnections", "too many clients", "exhausted")


class Crowd(AuditScene):
    """Thirty audits at once, three of each company, at providers with limits."""

    many, limit, latency = 30, 30, 1.2
    resamples = 20
    timeout = 2.0
    """A query is answered within it, and one that waits for a place is not: in all it would take twice 1.2 s."""
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
        given_up: int
        """Queries that were given up by who had asked them, while run was not over."""
        holding: list[Session]
        """Sessions with a transaction open while models were asked."""
        stored: Stored
        peak: int
        place: Place | None
        taken: int
        """How often pools of psycopg_pool gave a connection; asyncpg's do not count."""

    @property
    def bound(self) -> float:
        """Seconds that the providers need at least."""
        return self.many * len(companies()[0].queries) / self.limit * self.latency

    def prepare(self) -> None:
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
            found.given_up = sum(one.given_up for one in self.providers)
            if not call.done and not found.under_way:
                sessions = await self.database.sessions(self.name)
                found.holding = [one for one in sessions if one.in_transaction]
            found.ending = await call.settled(0.0)
            found.seconds = call.seconds()
        found.refused, found.peak = sum(one.refused for one in self.providers), seen.peak
        found.stored, found.taken = await self.stored(), _taken()
        self.stage.vital(of_the_bound=round(self.bound / found.seconds, 3))

    def reasons(self, found: "Crowd.Found", judged: Judged) -> Iterator[Said]:
        ending, place = found.ending, found.place
        who = f"With {self.many} audits queued"
        held = [one for one in found.holding if one.transaction > _MOMENT]
        if ending.returned and ending.value == str(self.many):
            yield Kept(11)
        elif ending.overdue and not held and judged.has("cpu-bound"):
            return  # what keeps the loop keeps it from ending
        elif ending.raised and (judged.breaks(11) or faulty(judged, *range(1, 10))):
            return  # with two audits it did, too, or what failed there
        elif not (ending.overdue and found.under_way):
            step = "Let `run` return when all that it took has ended, and let none wait for what another holds."
            if not ending.overdue:
                step = ALONE if ending.raised else "Return the number of audits that it took."
            said = f"{who}, `run` {ending}.{meanwhile(held)}"
            dry = "pool-starvation" if held and ending.overdue else None
            at = ending.place or place
            yield broke(11, said, step, at, timed=ending.overdue, conflict=dry)
            return
        before, line = len(judged.reasons), judged.expect(Line)
        yield from self._shared(found, who, judged)
        if (kept := line.held.get(ELSEWHERE)) and kept.seconds > STALL.limit * LINE:
            said = f"Outside of the ten functions, {kept.place.quoted} stops the loop for {span(kept.seconds)}."
            more = {"timed": not kept.named, "conflict": kept.conflict}
            yield broke(15, said, AWAIT_IT, kept.place, **more)
        failed = found.stored.errors and faulty(judged, *range(1, 10))
        if len(judged.reasons) > before or failed:
            return
        if found.stored.miscounted and found.stored.all_are("completed") and not faulty(judged, 9):
            wrong = count(found.stored.miscounted, "company", "companies")
            said = f"After {self.many} audits, counters of {wrong} are not those of their audits."
            step = "Let PostgreSQL add: set audits_done = audits_done + 1."
            yield broke(9, said, step, line.defined.get("finalize_audit", place))
        share, conflict = self.bound / found.seconds, "pool-starvation"
        if share >= SHARE.limit and not ending.overdue:
            yield Kept(15)
            return
        said = f"{who}, the providers could do them in {span(self.bound)}; it took {span(found.seconds)}."
        if held:
            said += meanwhile(held)
            step = "Give the connection back before you ask a model."
        elif found.taken > _UNITS * self.many:
            said += (
                f" No connection was held meanwhile, but the pool gave one {found.taken:,} times."
            )
            step = f"Take fewer units of work for each audit: {found.taken / self.many:.0f} wait for a connection."
        else:
            step = "Ask all queries of an audit at once, each provider up to its limit."
            conflict = "sequential-awaits"
        more = {"measured": f"{share:.0%} of the bound", "budget": f"{SHARE.limit:.0%}"}
        yield broke(15, said, step, place, timed=True, conflict=conflict, **more)

    def _shared(self, found: "Crowd.Found", who: str, judged: Judged) -> Iterator[Said]:
        """Judge what many audits have in common: connections, places at providers, rows."""
        place, errors, line = found.place, [*found.stored.errors.values()], judged.expect(Line)
        asks, failed = line.defined.get("execute_queries", place), f"{who}, {len(errors)} failed"
        step = "Open one pool of at most `size` connections, and take every connection from it."
        yield from too_many(found.peak, self.size, place, promise=15, next_step=step)
        if found.refused:
            said = f"{who}, a provider was asked more than its limit at a time: {found.refused} queries were refused."
            step = "One asyncio.Semaphore(provider.limit) for each provider, for all audits."
            more = none_of(found.refused, "query refused", "queries refused")
            yield broke(15, said, step, asks, conflict="unbounded-gather", **more)
        elif errors and any(word in errors[0] for word in _DRY):
            step = "Wait for a connection, and hold none while you wait for something else."
            yield broke(15, f"{failed}: {errors[0]}.", step, place, conflict="pool-starvation")
        elif errors and any(word in errors[0] for word in _GAVE_WAY):
            step = "Have what many share waited for (read committed), or do the whole unit of work again."
            at = line.defined.get("finalize_audit", place)
            yield broke(15, f"{failed}: {errors[0]}.", step, at)
        elif found.given_up:
            said = f"{who}, {count(found.given_up, 'query', 'queries')} were given up before they had been asked "
            said += f"for {span(self.latency)}, with a `timeout` of {span(self.timeout)}."
            step = "Let `timeout` begin when a query is asked: within the semaphore, not around it."
            yield broke(15, said, step, asks, timed=True)
        elif errors and not faulty(judged, *range(1, 10)):
            step = "One alone is completed: see what they share when they are many."
            yield broke(15, f"{failed}: {errors[0]}.", step, place)


def _taken() -> int:
    """Return how often psycopg's open pools gave a connection."""
    pools = [one for one in gc.get_objects() if issubclass(type(one), BasePool) and not one.closed]
    return sum(one.get_stats().get("requests_num", 0) for one in pools)


class Hanging(AuditScene):
    """One provider never answers, another fails for one company."""

    many, timeout = 4, 1.0
    title, promises = "a provider that hangs", (8, 14)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of the audits, and when the other providers were asked."""

        served: Served
        ending: Ending
        early: int
        """Queries that the others were asked before they could have waited for the one that hangs."""
        stored: Stored
        place: Place | None

    def prepare(self) -> None:
        self.of = self.stage.rng.sample(companies(), self.many)
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
        stored, ending, line = found.stored, found.ending, judged.expect(Line)
        if faulty(judged, 3, 4, 5):
            return
        place = line.defined.get("execute_queries", found.place)
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
        elif faulty(judged, *range(6, 10)) and not stored.all_are("completed"):
            return
        elif not stored.all_are("completed"):
            bad = sum(one != "completed" for one in stored.status.values())
            error = next(iter(stored.errors.values()), "no error")
            said = f"Queries had no answer, and {count(bad, 'audit')} did not complete: {error}."
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
            yield from self._scores(stored, judged)
            return
        yield broke(14, said, step, place, **more)

    @staticmethod
    def _scores(stored: Stored, judged: Judged) -> Iterator[Said]:
        if not stored.misscored:
            yield Kept(8)
        elif not faulty(judged, 7, 8):
            said = f"With queries that had no answer, the scores of {count(stored.misscored, 'audit')} are wrong."
            step = "Leave out a response with an `error`: it is no answer that does not name the company."
            at = judged.expect(Line).defined.get("calculate_scores")
            yield broke(8, said, step, at, **none_of(stored.misscored, "wrong score"))
