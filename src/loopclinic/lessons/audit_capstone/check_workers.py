"""Scenes of lab 14's check with two workers at one queue: both look at it at once; one is killed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from loopclinic.lessons.audit_capstone.audit_scene import AuditScene
from loopclinic.lessons.audit_capstone.check_functions import ONE_UNIT, Line, faulty
from loopclinic.lessons.audit_capstone.queue_tables import Stored
from loopclinic.lessons.core import Calls, Ending, Judged, Kept, Place, Said
from loopclinic.lessons.core.call import now
from loopclinic.lessons.core.verdicts import broke, none_of
from loopclinic.lessons.database.postgres_verdicts import LINE, Served
from loopclinic.lessons.database.scenes import Database
from loopclinic.lessons.database.sessions import named
from loopclinic.servers.slow_proxy import SlowLine
from loopclinic.units import count

# Kept from before a lab is imported, which may replace them.
_sleep, _timeout = asyncio.sleep, asyncio.timeout

_AGAIN_LOST = """
    update audits set status = 'queued', error = null where status in ('running', 'failed') returning id
"""
"""Where a connection was in use, the worker may still say that its audit failed, which the dead can't."""


@asynccontextmanager
async def _opened(manager: AbstractAsyncContextManager[Any]) -> AsyncIterator[Any]:
    """Give another worker's processor. How it closes is judged with that of the first."""
    async with _timeout(4.0):
        processor = await manager.__aenter__()
    yield processor
    with suppress(Exception):
        async with _timeout(2.0):
            await manager.__aexit__(None, None, None)


class Workers(AuditScene):
    """Two workers at one queue, on a slow line: both look at the same moment."""

    title, promises = "two workers at one queue", (1,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """How often an audit was taken once more."""

        served: Served
        endings: list[Ending]
        twice: int

    async def drive(self, lab: Any, stage: Any) -> Any:
        database = await stage.shared(Database, stage)
        self.line = SlowLine(database.dsn, there_and_back=LINE)
        async with database.at_work(self.line) as self.slow:
            return await super().drive(lab, stage)

    def open(self, dsn: str, lab: Any = None) -> Any:
        del dsn
        return super().open(named(self.slow, self.name), lab)

    async def meet(self, found: Any) -> None:
        await self.queue(self.some(2))
        self.gates(opened=False)
        async with _opened(self.open("", self.other)) as other:
            calls = Calls({0: self.run(), 1: self.run(other)})
            await self.until_asked(2, 3.0)
            asked, ends = -1, now() + 2.0
            while asked < self.asked and now() < ends:
                asked = self.asked
                await _sleep(6 * LINE)
            found.twice = self.twice()
            self.line.delay = 0.0
            self.gates(opened=True)
            found.endings = await calls.settled(3.0)

    def reasons(self, found: "Workers.Found", judged: Judged) -> Iterator[Said]:
        if faulty(judged, 1, 5) or (found.twice and faulty(judged, 3, 4)):
            return
        if found.twice:
            said = "Two workers, each a process of its own, took one audit: its models were asked twice."
            step = "Take it in one statement: update ... where id = (select ... for update skip locked limit 1)."
            more = none_of(found.twice, "query asked twice", "queries asked twice")
            yield broke(1, said, step, judged.expect(Line).defined.get("take_audit"), **more)
        elif all(one.returned for one in found.endings):
            yield Kept(1)


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
        self.gates(opened=False)
        for one in self.providers:
            one.waits = frozenset(query for each in due for query in each.company.queries[1:])
        manager = self.open(named(self.database.dsn, first), self.other)
        async with _opened(manager) as dead:
            call = self.run(dead)
            await self.until_asked(2 * len(due), 1.5, call)
            await _sleep(0.1)
            found.place = call.look() or self.run_at
            await self.database.outside(self.database.monitor.end, first)
            await _sleep(0.1)
            found.under_way = len(await self.database.rows(_AGAIN_LOST))
            for one in self.providers:
                one.waits = frozenset({"no query"})
            found.ending = await self.run().settled(3.0)
            found.stored = await self.stored()
            await call.settled(0.0)

    def reasons(self, found: "Killed.Found", judged: Judged) -> Iterator[Said]:
        stored, place = found.stored, found.place
        if not found.under_way or judged.breaks(11):
            return
        said = ""
        who = "An audit whose worker was killed was queued again"
        if not found.ending.returned:
            said = f"{who}, and `run` {found.ending}."
        elif not stored.all_are("completed"):
            if faulty(judged, *range(1, 10)):
                return  # and not because of the kill
            bad = next(one for one in stored.status.values() if one != "completed")
            error = next(iter(stored.errors.values()), "")
            said = f"{who}, and ended as '{bad}'{': ' * bool(error)}{error}."
        elif stored.surplus:
            said = f"{who}, and {count(stored.surplus, 'response')} of it were stored twice."
        elif faulty(judged, 4, 5, 6, 9):
            return
        elif wrong := stored.missing + stored.garbled:
            said = f"{who}, and {count(wrong, 'response')} of it is not stored once, as it came."
        elif stored.miscounted:
            said = f"{who}, and its company is counted as if it had run more than once."
        elif stored.left:
            said = f"{who}, and {count(stored.left, 'row')} of its first try stayed."
        if said:
            yield broke(12, said, ONE_UNIT, place, timed=found.ending.overdue)
        else:
            yield Kept(12)
