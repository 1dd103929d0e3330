"""Drives a lab's `Audits` against a PostgreSQL that is asked, from outside, what it sees of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from types import ModuleType
from typing import Any, TypeVar

# Drivers take a tenth of a second to import: no lab shall be charged with a stall for it.
import asyncpg  # noqa: F401
import psycopg_pool  # noqa: F401

from loopclinic.lessons.lesson import Stage
from loopclinic.lessons.sync_database import LESSON
from loopclinic.lessons.sync_database.calls import AuditCall, attempt, learners
from loopclinic.lessons.sync_database.observer import Observer
from loopclinic.lessons.sync_database.records import (
    Audit,
    companies,
    draw,
    enter,
    lay_out,
    mine,
    named,
)
from loopclinic.lessons.sync_database.rescue import Rescue, on_the_loop
from loopclinic.lessons.sync_database.slow_line import SlowLine
from loopclinic.probe import Probe, Stall

__all__ = ["rehearse"]

_sleep, _wait, _to_thread = asyncio.sleep, asyncio.wait, asyncio.to_thread
_perf_counter = time.perf_counter
_T = TypeVar("_T")

_SMALL_MACHINE = 6
"""Threads of the default executor: the standard library's min(32, cores + 4) for two cores. Set,
because on 28 cores the queue behind it would be too short to see, and production may be smaller."""
_STALL = 0.02
_LINE = 0.08
"""Seconds there and back."""
_SIZE, _CROWD = 6, 10
_GATHER = 1.2
"""Seconds that a crowd gets to ask; a right answer needs some milliseconds."""
_HELD = 0.4
_PATIENCE = 0.8
"""Seconds that a call may keep the loop: twice what the rehearsal itself makes the database wait."""
_CANCEL = LESSON.budgets["cancel"].limit
_OPEN, _CLOSE = 4.0, 1.5


async def rehearse(lab: ModuleType, stage: Stage) -> None:
    """Run the whole rehearsal; about five seconds for a lab that keeps its contract."""
    loop = asyncio.get_running_loop()
    default = ThreadPoolExecutor(_SMALL_MACHINE, thread_name_prefix="default-executor")
    loop.set_default_executor(default)
    own = ThreadPoolExecutor(2, thread_name_prefix="rehearsal")
    dsn = stage.services["postgres"]
    try:
        await loop.run_in_executor(own, lay_out, dsn)
        observer = await loop.run_in_executor(own, Observer, dsn)
        with observer, Probe(threshold=_STALL) as probe:
            await _Rehearsal(lab, stage, observer, probe, own).run()
    finally:
        default.shutdown(wait=False, cancel_futures=True)
        own.shutdown(wait=False, cancel_futures=True)


class _Rehearsal:
    def __init__(
        self,
        lab: ModuleType,
        stage: Stage,
        observer: Observer,
        probe: Probe,
        own: ThreadPoolExecutor,
    ) -> None:
        self.lab = lab
        self.stage = stage
        self.dsn = stage.services["postgres"]
        self.observer = observer
        self.probe = probe
        self.own = own
        self.due: dict[str, list[Audit]] = {}
        self.stuck = False
        """Whether a call had to be broken off: what needs a free loop is left out from there on."""

    async def run(self) -> None:
        await self.enter()
        await self.line()
        await self.crowd()
        await self.family()
        await self.cancelled()
        await self.failing()

    # What a step is made of.

    async def outside(self, work: Callable[..., _T], *values: Any) -> _T:
        """Do blocking work of the rehearsal's own on a thread of its own."""
        return await asyncio.get_running_loop().run_in_executor(self.own, work, *values)

    @asynccontextmanager
    async def at_work(self, manager: AbstractContextManager[_T]) -> AsyncIterator[_T]:
        """Enter and leave a blocking context manager on a thread."""
        value = await self.outside(manager.__enter__)
        try:
            yield value
        finally:
            await self.outside(manager.__exit__, None, None, None)

    async def enter(self) -> None:
        """Enter the audits of all steps: later, a lab's locks could be in the way."""
        known = companies()
        self.stage.rng.shuffle(known)
        of = {
            "line": known[:2],
            "crowd": (known * 2)[:_CROWD],
            "family": [known[0]] * 2,
            "asking": known[1:3],
            "storing": known[3:5],
            "after": known[1:4],
            "failing": known[:1],
        }
        number = self.stage.rng.randrange(100, 900)
        for name, some in of.items():
            self.due[name] = draw(self.stage.rng, some, first=number, queries=2)
            number += len(some)
        every = [audit for some in self.due.values() for audit in some]
        await self.outside(enter, self.observer.connection, every)

    def rescue(self, name: str, patience: float) -> Rescue:
        def ask() -> list[dict[str, Any]]:
            return [one.to_dict() for one in self.observer.sessions(mine(name))]

        return Rescue(self.probe, learners, ask=ask, patience=patience)

    @asynccontextmanager
    async def served(
        self,
        name: str,
        found: dict[str, Any],
        *,
        size: int,
        dsn: str = "",
        patience: float = _PATIENCE,
    ) -> AsyncIterator[Any]:
        """Open the lab's `Audits` for one step, close it, and note what it left at PostgreSQL."""
        address = named(dsn or self.dsn, mine(name))
        with self.rescue(name, patience) as rescue:
            audits = self.lab.Audits(address, size=size)
            found["opening"] = await attempt(_enter(audits), _OPEN)
            try:
                yield audits
            finally:
                found["closing"] = await attempt(_leave(audits), _CLOSE)
                await _sleep(0.02)
            found["stuck"] = self._told_of(rescue)
        self.stuck = self.stuck or found["stuck"] is not None
        ends = _perf_counter() + _CANCEL
        while (
            left := await self.outside(self.observer.sessions, mine(name))
        ) and _perf_counter() < ends:
            await _sleep(0.02)
        found["left"] = [one.to_dict() for one in left]
        if left:
            await self.outside(self.observer.end, mine(name))
        self.stage.fact(name, found)

    @staticmethod
    def _told_of(rescue: Rescue) -> dict[str, Any] | None:
        if not rescue.found:
            return None
        first = rescue.found[0]
        return {**_told(first.stall), "times": len(rescue.found), "sessions": first.asked or []}

    async def stored(self, audits: Sequence[Audit]) -> dict[str, Any]:
        """Return what PostgreSQL has of these audits, and which are not as they should be."""
        ids = [one.id for one in audits]
        states = await self.outside(
            self.observer.rows,
            "select audits.id, status, audits.mentions, count(responses.query_id),"
            " count(*) filter (where responses.mentioned) from audits"
            " left join queries on audit_id = audits.id"
            " left join responses on query_id = queries.id"
            " where audits.id = any(%s) group by audits.id",
            ids,
        )
        totals = await self.outside(
            self.observer.rows,
            "select companies.id, audits_done, companies.mentions,"
            " count(audits.id), coalesce(sum(audits.mentions), 0) from companies"
            " left join audits on company_id = companies.id and status = 'done'"
            " group by companies.id",
        )
        wanted = {one.id: one for one in audits}
        return {
            "done": [row[0] for row in states if row[1] == "done"],
            "touched": [row[0] for row in states if row[1] == "done" or row[3]],
            "wrong": [
                row[0]
                for row in states
                if row[1] != "done"
                or row[2] != wanted[row[0]].mentions
                or row[3] != len(wanted[row[0]].queries)
                or row[4] != wanted[row[0]].mentions
            ],
            "miscounted": [row[0] for row in totals if row[1] != row[3] or row[2] != row[4]],
        }

    # One after another.

    async def line(self) -> None:
        """A few audits on a slow line, where every wait for the database is long enough to see."""
        self.stage.step("two audits on a slow line to the database")
        found: dict[str, Any] = {"line": _LINE}
        audits = self.due["line"]
        mark = self.probe.snapshot()
        async with (
            self.at_work(SlowLine(self.dsn, there_and_back=_LINE)) as dsn,
            self.served("line", found, size=2, dsn=dsn, patience=3.0) as service,
        ):
            if found["opening"] is not None:
                return
            opened = asyncio.Event()
            opened.set()
            began = self.probe.snapshot()
            calls = [AuditCall(service, audit, gate=opened) for audit in audits]
            await _wait([call.task for call in calls], timeout=5.0)
            await _sleep(0)
            span = self.probe.snapshot().since(began)
            stalls = [one for one in self.probe.stalls if one.started >= mark.at]
            found["endings"] = [call.ending() for call in calls]
            await AuditCall.end(calls, 0.3)
            found["seconds"] = span.seconds
            found["busy"] = span.utilization
            found["stalls"] = _of_the_lab(stalls)
        self.stage.fact(
            "vitals",
            {
                "seconds_on_a_slow_line": round(found.get("seconds", 0.0), 3),
                "loop_busy": round(found.get("busy") or 0.0, 3),
            },
        )

    async def crowd(self) -> None:
        """More audits than connections: all must get to ask, then all want to store at once."""
        self.stage.step(f"{_CROWD} audits at once, with {_SIZE} connections")
        found: dict[str, Any] = {"size": _SIZE, "audits": _CROWD}
        audits = self.due["crowd"]
        async with self.at_work(self.observer.watch(mine("crowd"))) as sighting:
            async with self.served("crowd", found, size=_SIZE) as service:
                if found["opening"] is None:
                    await self._crowd(service, audits, found)
            found["peak"] = sighting.peak
            found["sessions"] = len(sighting.names)
            found["most_active"] = sighting.most_active
        self.stage.fact("crowd", found)

    async def _crowd(self, service: Any, audits: list[Audit], found: dict[str, Any]) -> None:
        gate = asyncio.Event()
        calls = [AuditCall(service, audit, gate=gate) for audit in audits]
        ends = _perf_counter() + _GATHER
        while not all(call.model.asked or call.task.done() for call in calls):
            if _perf_counter() > ends:
                break
            await _sleep(0.01)
        found["asking"] = sum(bool(call.model.asked) for call in calls)
        found["waits_at"] = next(
            (place for call in calls if not call.model.asked and (place := call.place())), None
        )
        holding = await self.outside(self.observer.sessions, mine("crowd"))
        found["holding"] = [one.to_dict() for one in holding if one.in_transaction]
        if found["asking"] == len(calls):
            async with self.at_work(self.observer.hold()):
                gate.set()
                found["thread"] = await self._slowest_thread(_HELD)
                found["storing_at"] = next((p for call in calls if (p := call.place())), None)
                found["early"] = (await self.stored(audits))["touched"]
        gate.set()
        await _wait([call.task for call in calls], timeout=2.0)
        found["endings"] = [call.ending() for call in calls]
        await AuditCall.end(calls, 0.3)
        found["asked"] = [
            sorted(call.model.asked) == sorted(text for _, text, _ in call.audit.queries)
            for call in calls
        ]
        found["stored"] = await self.stored(audits)

    async def _slowest_thread(self, seconds: float) -> float:
        """Return how long `asyncio.to_thread` had to wait for a thread, at worst, in that time."""
        ends, worst = _perf_counter() + seconds, 0.0
        while _perf_counter() < ends:
            began = _perf_counter()
            # Waited for from afar: were it cancelled, it would not count as waiting any more.
            asked = asyncio.ensure_future(_to_thread(_perf_counter))
            await _wait([asked], timeout=max(0.0, ends - _perf_counter()))
            worst = max(worst, _perf_counter() - began)
            if not asked.done():
                asked.cancel()
                break
            await _sleep(0.03)
        return worst

    async def family(self) -> None:
        """Two audits of one company: a row that both want."""
        self.stage.step("two audits of one company at once")
        found: dict[str, Any] = {}
        audits = self.due["family"]
        async with self.served("family", found, size=4) as service:
            if found["opening"] is not None:
                return
            gate = asyncio.Event()
            calls = [AuditCall(service, audit, gate=gate) for audit in audits]
            ends = _perf_counter() + _GATHER
            while not all(call.model.asked or call.task.done() for call in calls):
                if _perf_counter() > ends:
                    break
                await _sleep(0.01)
            found["asking"] = sum(bool(call.model.asked) for call in calls)
            found["waits_at"] = next(
                (place for call in calls if not call.model.asked and (place := call.place())), None
            )
            if found["asking"] == len(calls):
                # Held up until all want the row: who read its sums before would write them now.
                async with self.at_work(self.observer.hold()):
                    gate.set()
                    await self._until_all_wait("family", len(calls), 0.4)
            gate.set()
            await _wait([call.task for call in calls], timeout=1.0)
            found["endings"] = [call.ending() for call in calls]
            await AuditCall.end(calls, 0.3)
            found["stored"] = await self.stored(audits)

    async def _until_all_wait(self, name: str, count: int, patience: float) -> None:
        """Wait until so many sessions want a row that is held, for `patience` seconds at most."""
        ends = _perf_counter() + patience
        while _perf_counter() < ends:
            sessions = await self.outside(self.observer.sessions, mine(name))
            if sum(one.waits_for_lock for one in sessions) >= count:
                break
            await _sleep(0.01)

    async def cancelled(self) -> None:
        """Cancelled while it asks, and while it waits for a row; then the next one's turn."""
        self.stage.step("audits that are cancelled while they ask")
        found: dict[str, Any] = {"after": []}
        async with self.served("cancelled", found, size=2) as service:
            if found["opening"] is not None:
                return
            found["asking"] = await self._cancel(service, self.due["asking"])
            if not self.stuck and not found["asking"]["open"]:
                self.stage.step("audits that are cancelled while they store")
                async with self.at_work(self.observer.hold()):
                    found["storing"] = await self._cancel(
                        service, self.due["storing"], at_store=True
                    )
                    before = (await self.stored(self.due["storing"]))["done"]
                await _sleep(0.15)  # whatever went on comes to its end
                stored = await self.stored(self.due["storing"])
                found["storing"]["stored"] = [one for one in stored["done"] if one not in before]
            if found["asking"]["open"]:
                return  # what these left open would be in the way of the next
            self.stage.step("audits after the cancelled ones")
            audits = self.due["after"]
            opened = asyncio.Event()
            opened.set()
            calls = [AuditCall(service, audit, gate=opened) for audit in audits]
            await _wait([call.task for call in calls], timeout=1.2)
            found["after"] = [call.ending() for call in calls]
            await AuditCall.end(calls, 0.3)

    async def _cancel(
        self, service: Any, audits: list[Audit], *, at_store: bool = False
    ) -> dict[str, Any]:
        gate = asyncio.Event()
        calls = [AuditCall(service, audit, gate=gate) for audit in audits]
        ends = _perf_counter() + _GATHER
        while _perf_counter() < ends and not all(call.model.asked for call in calls):
            await _sleep(0.01)
        if at_store:
            gate.set()
            await self._until_all_wait("cancelled", len(calls), _GATHER)
        places = [call.place() for call in calls]
        running = [call for call in calls if not call.task.done()]
        endings = await AuditCall.end(running, _CANCEL)
        seconds, left = await self.outside(self.observer.forgotten, mine("cancelled"), _CANCEL)
        gate.set()
        return {
            "endings": endings,
            "forgotten": seconds,
            "open": [one.to_dict() for one in left],
            "place": next((place for place in places if place), None),
        }

    async def failing(self) -> None:
        """A model that fails: the error comes out, and nothing goes in."""
        self.stage.step("an audit whose model fails")
        found: dict[str, Any] = {}
        audits = self.due["failing"]
        async with self.served("failing", found, size=2) as service:
            if found["opening"] is not None:
                return
            opened = asyncio.Event()
            opened.set()
            calls = [AuditCall(service, audit, gate=opened, fails=True) for audit in audits]
            await _wait([call.task for call in calls], timeout=1.0)
            found["ending"] = calls[0].ending()
            await AuditCall.end(calls, 0.3)
            _, left = await self.outside(self.observer.forgotten, mine("failing"), _CANCEL)
            found["open"] = [one.to_dict() for one in left]
            found["touched"] = (await self.stored(audits))["touched"]


async def _enter(audits: Any) -> None:
    await type(audits).__aenter__(audits)


async def _leave(audits: Any) -> None:
    await type(audits).__aexit__(audits, None, None, None)


def _of_the_lab(stalls: Sequence[Stall]) -> list[dict[str, Any]]:
    return [_told(one) for one in stalls if any(learners(frame.file) for frame in on_the_loop(one))]


def _told(stall: Stall) -> dict[str, Any]:
    inside = [frame for frame in on_the_loop(stall) if learners(frame.file)]
    frame = inside[-1] if inside else None
    pooled = any(
        one.function == "getconn" and "/psycopg_pool/" in one.file.replace("\\", "/")
        for one in stall.stack
    )
    return {
        "file": frame.file if frame else None,
        "line": frame.line if frame else None,
        "code": frame.code if frame else "",
        "seconds": stall.seconds,
        "first_seen": stall.first_seen,
        "conflict": "pool-starvation" if pooled else stall.conflict,
    }
