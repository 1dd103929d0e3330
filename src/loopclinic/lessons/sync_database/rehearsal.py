"""Drives a lab's `Audits` against a PostgreSQL that is asked, from outside, what it sees of them."""

import asyncio
import time
from collections.abc import Sequence
from types import ModuleType
from typing import Any

# Drivers take a tenth of a second to import: no lab shall be charged with a stall for it.
import asyncpg  # noqa: F401
import psycopg_pool  # noqa: F401

from loopclinic.lessons.lesson import Stage
from loopclinic.lessons.offload import slowest_thread, small_machine
from loopclinic.lessons.slow_line import SlowLine
from loopclinic.lessons.sync_database import LESSON
from loopclinic.lessons.sync_database.calls import AuditCall
from loopclinic.lessons.sync_database.observer import Observer
from loopclinic.lessons.sync_database.records import Audit, lay_out
from loopclinic.lessons.sync_database.surroundings import CROWD, Surroundings, told
from loopclinic.probe import Probe

__all__ = ["rehearse"]

_sleep, _wait, _perf_counter = asyncio.sleep, asyncio.wait, time.perf_counter

_STALL = 0.02
_LINE = 0.08
"""Seconds there and back."""
_SIZE = 6
_GATHER = 1.2
"""Seconds that a crowd gets to ask; a right answer needs some milliseconds."""
_HELD = 0.4
_CANCEL = LESSON.budgets["cancel"].limit


async def rehearse(lab: ModuleType, stage: Stage) -> None:
    """Run the whole rehearsal; about five seconds for a lab that keeps its contract."""
    loop, dsn = asyncio.get_running_loop(), stage.services["postgres"]
    with small_machine(2) as own:
        await loop.run_in_executor(own, lay_out, dsn)
        observer = await loop.run_in_executor(own, Observer, dsn)
        with observer, Probe(threshold=_STALL) as probe:
            await _Rehearsal(lab, stage, observer, probe, own).run()


class _Rehearsal(Surroundings):
    async def run(self) -> None:
        await self.enter()
        await self.line()
        await self.crowd()
        await self.family()
        await self.cancelled()
        await self.failing()

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
            found["stalls"] = [place for one in stalls if (place := told(one)) is not None]
        self.stage.fact(
            "vitals",
            {
                "seconds_on_a_slow_line": round(found.get("seconds", 0.0), 3),
                "loop_busy": round(found.get("busy") or 0.0, 3),
            },
        )

    async def crowd(self) -> None:
        """More audits than connections: all must get to ask, then all want to store at once."""
        self.stage.step(f"{CROWD} audits at once, with {_SIZE} connections")
        found: dict[str, Any] = {"size": _SIZE, "audits": CROWD}
        audits = self.due["crowd"]
        async with self.at_work(self.observer.watch("crowd")) as sighting:
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
        await _until_all_ask(calls, found)
        holding = await self.outside(self.observer.sessions, "crowd")
        found["holding"] = [one.to_dict() for one in holding if one.in_transaction]
        if found["asking"] == len(calls):
            async with self.at_work(self.observer.hold()):
                gate.set()
                found["thread"] = await slowest_thread(_HELD)
                found["storing_at"] = AuditCall.waits_at(calls)
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
            await _until_all_ask(calls, found)
            if found["asking"] == len(calls):
                # Held up until all want the row: who read its sums before would write them now.
                async with self.at_work(self.observer.hold()):
                    gate.set()
                    await self.outside(self.observer.until_waiting, "family", len(calls), 0.4)
            gate.set()
            await _wait([call.task for call in calls], timeout=1.0)
            found["endings"] = [call.ending() for call in calls]
            await AuditCall.end(calls, 0.3)
            found["stored"] = await self.stored(audits)

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
                await self.outside(self.observer.forgotten, "cancelled", _CANCEL)
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
            await self.outside(self.observer.until_waiting, "cancelled", len(calls), _GATHER)
        place = AuditCall.waits_at(calls)
        running = [call for call in calls if not call.task.done()]
        endings = await AuditCall.end(running, _CANCEL)
        seconds, left = await self.outside(self.observer.forgotten, "cancelled", _CANCEL)
        gate.set()
        return {
            "endings": endings,
            "forgotten": seconds,
            "open": [one.to_dict() for one in left],
            "place": place,
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
            _, left = await self.outside(self.observer.forgotten, "failing", _CANCEL)
            found["open"] = [one.to_dict() for one in left]
            found["touched"] = (await self.stored(audits))["touched"]


async def _until_all_ask(calls: Sequence[AuditCall], found: dict[str, Any]) -> None:
    """Wait until all ask or have ended; note how many ask, and where one that does not waits."""
    ends = _perf_counter() + _GATHER
    while not all(call.model.asked or call.task.done() for call in calls):
        if _perf_counter() > ends:
            break
        await _sleep(0.01)
    found["asking"] = sum(bool(call.model.asked) for call in calls)
    found["waits_at"] = AuditCall.waits_at([call for call in calls if not call.model.asked])
