"""Drives a lab's billing package: its tests, a scan, then calls against a PostgreSQL asked from outside."""

import asyncio
import time
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

# Drivers take a tenth of a second to import: no lab shall be charged with a stall for it.
import asyncpg  # noqa: F401
import psycopg_pool  # noqa: F401

from loopclinic.lessons.lesson import Stage
from loopclinic.lessons.offload import slowest_thread, small_machine
from loopclinic.lessons.slow_line import SlowLine
from loopclinic.lessons.stalls import stalled_by, waits_on_line
from loopclinic.lessons.standardize import LESSON
from loopclinic.lessons.standardize.books import Books, lay_out
from loopclinic.lessons.standardize.counter import Counter
from loopclinic.lessons.standardize.refusals import Refusals
from loopclinic.lessons.standardize.suite import scanned, tested
from loopclinic.lessons.standardize.till import Call
from loopclinic.probe import Probe

__all__ = ["rehearse"]

_sleep, _wait = asyncio.sleep, asyncio.wait
_perf_counter = time.perf_counter

_STALL = 0.02
_LINE = 0.08
"""Seconds there and back."""
_SIZE = 4
_CROWD = 10
_HELD = 0.4


async def rehearse(lab: ModuleType, stage: Stage) -> None:
    """Run the whole rehearsal; about ten seconds for a lab that keeps its contract."""
    assert lab.__file__ is not None
    package = Path(lab.__file__).parent
    stage.step("running the lab's own tests, then on services that are broken on purpose")
    suite, scan = await asyncio.gather(
        tested(package.parent, package.name, stage.folder / "tests.jsonl"), scanned(package)
    )
    stage.fact("suite", suite)
    for finding in scan["findings"]:
        finding["file"] = str(package / finding["file"])
    stage.fact("scan", scan)
    loop, dsn = asyncio.get_running_loop(), stage.services["postgres"]
    with small_machine(3) as own:
        await loop.run_in_executor(own, lay_out, dsn)
        books = await loop.run_in_executor(own, Books, dsn)
        with books:
            async with Probe(threshold=_STALL) as probe:
                await _Rehearsal(lab, stage, books, probe, own).run()


class _Rehearsal(Counter):
    async def run(self) -> None:
        free = await self.line()
        if free:
            # Locks are held from here on, which a loop that waits for the database would wait for.
            await self.crowd()
            await self.race()
            await self.cancelled()
            await self.gone()
        await Refusals(self).run()

    async def line(self) -> bool:
        """Each method, one after another, on a slow line; return whether the loop stayed free."""
        self.stage.step("each method on a slow line to the database")
        found: dict[str, Any] = {"line": _LINE, "endings": {}, "stalls": []}
        mark = self.probe.snapshot()
        async with (
            self.at_work(SlowLine(self.dsn, there_and_back=_LINE)) as dsn,
            self.served("line", found, size=2, dsn=dsn) as service,
        ):
            if service is None:
                return False
            began = self.probe.snapshot()
            await self._each(service, found)
            span = self.probe.snapshot().since(began)
            found["seconds"], found["busy"] = span.seconds, span.utilization
            await _sleep(0)
            stalls = [one for one in self.probe.stalls if one.started >= mark.at]
            found["stalls"] = [place for one in stalls if (place := stalled_by(one)) is not None]
        self.stage.fact(
            "vitals",
            {
                "seconds_on_a_slow_line": round(found.get("seconds", 0.0), 3),
                "loop_busy": round(found.get("busy") or 0.0, 3),
            },
        )
        ended = all(one["how"] != "running" for one in found["endings"].values())
        return ended and not waits_on_line(found, LESSON.budgets["stall"])

    async def _each(self, service: Any, found: dict[str, Any]) -> None:
        day, customer = date(2031, 3, 1), self.stage.rng.randrange(1000, 9000)
        lines = [self.line_of(3, 1900), self.line_of(1, 450)]
        payment = self.lab.Payment(450, "transfer", f"T-{customer}")

        async def note(name: str, begin: Any) -> Any:
            call = await self.call(begin).within(3.0)
            (found["endings"][name],) = await Call.over([call])
            return call.value

        issued = await note("issue", lambda: service.issue(7, customer, lines, on=day))
        key = getattr(issued, "id", None)
        if key is None:
            return
        got = await note("get", lambda: service.get(key))
        paid = await note("record_payment", lambda: service.record_payment(key, payment))
        said = await note("statement", lambda: service.statement(customer))
        done = await note("charge", lambda: service.charge(key, "card"))
        found["wrong"] = [
            text
            for text, true in (
                ("issue numbers by year and counts from 1", issued.number == "2031-00001"),
                ("get gives the lines in order", getattr(got, "lines", None) == lines),
                (
                    "record_payment gives the invoice with the payment",
                    [one.reference for one in getattr(paid, "payments", [])] == [payment.reference],
                ),
                (
                    "statement gives customer, balance_cents and invoices",
                    said
                    == {"customer": customer, "balance_cents": 5700, "invoices": [issued.number]},
                ),
                (
                    "charge pays what is open and gives the invoice",
                    getattr(getattr(done, "status", None), "value", None) == "paid"
                    and done.total_cents == done.paid_cents == 6150,  # noqa: PLR2004 - the sum above
                ),
            )
            if not true
        ]

    async def crowd(self) -> None:
        """More charges than connections: all get to ask the gateway, then all want to book at once."""
        self.stage.step(f"{_CROWD} charges at once, with {_SIZE} connections")
        found: dict[str, Any] = {"size": _SIZE, "charges": _CROWD}
        async with self.at_work(self.books.watch("crowd")) as sighting:
            async with self.served("crowd", found, size=_SIZE) as service:
                if service is not None:
                    await self._crowd(service, found)
            found["peak"], found["most_active"] = sighting.peak, sighting.most_active
        self.stage.fact("crowd", found)

    async def _crowd(self, service: Any, found: dict[str, Any]) -> None:
        issued = await self.issued(service, _CROWD, year=2032)
        found["issued"] = [call.ending() for call in issued]
        keys = [call.value.id for call in issued if call.value is not None]
        found["gaps"] = await self.gaps(2032)
        self.till.asked.clear()
        self.till.gate.clear()
        calls = [self.call(lambda key=key: service.charge(key, "card")) for key in keys]  # type: ignore[misc]
        ends = _perf_counter() + 1.2
        while len(self.till.asked) < len(calls) and _perf_counter() < ends:
            await _sleep(0.01)
        found["asking"] = len(self.till.asked)
        sessions = await self.outside(self.books.sessions, "crowd")
        found["holding"] = sum(one.in_transaction for one in sessions)
        found["waits_at"] = Call.waits_at(calls)
        if found["asking"] == len(calls):
            async with self.at_work(self.books.held("payment")):
                self.till.gate.set()
                found["thread"] = await slowest_thread(_HELD)
                found["booking_at"] = Call.waits_at(calls)
        self.till.gate.set()
        await _wait([call.task for call in calls], timeout=2.0)
        found["endings"] = await Call.over(calls)
        entries = [await self.outside(self.books.to_json, key) for key in keys]
        found["unpaid"] = sum(
            one is None or one["status"] != "paid" or one["paid"] != one["total"] for one in entries
        )

    async def race(self) -> None:
        """Two payments of all that is open, at the same moment."""
        self.stage.step("two payments of one invoice at once")
        found: dict[str, Any] = {}
        async with self.served("race", found, size=_SIZE) as service:
            if service is None:
                return
            (issued,) = await self.issued(service, 1, year=2033)
            if issued.value is None:
                return
            key, cents = issued.value.id, issued.value.total_cents
            async with self.at_work(self.books.held("payment")):
                calls = [self.paying(service, key, cents) for _ in range(2)]
                await self.outside(self.books.until_waiting, "race", 2, 0.5)
            await _wait([call.task for call in calls], timeout=2.0)
            found["endings"] = await Call.over(calls)
            found["entry"] = await self.outside(self.books.to_json, key)

    async def cancelled(self) -> None:
        """Cancelled while it stores, while it books and while the gateway is asked; then the next."""
        found: dict[str, Any] = {"after": []}
        async with self.served("cancelled", found, size=2) as service:
            if service is None:
                return
            self.stage.step("an issue that is cancelled while it stores its lines")
            async with self.at_work(self.books.held("invoice_line")):
                calls = [self.issuing(service, 2034) for _ in range(2)]
                await self.outside(self.books.until_waiting, "cancelled", 2, 1.0)
                found["early"] = len(
                    await self.outside(self.books.numbers, 2034)
                ) + await self.outside(self.books.counted, 2034)
                found["issue"] = await self.cancel(calls, "cancelled")
            if found["issue"]["open"]:
                return  # what these left open would be in the way of the next
            await _sleep(0.15)  # whatever went on comes to its end
            found["stored"] = len(await self.outside(self.books.numbers, 2034))
            self.stage.step("a charge that is cancelled while the gateway is asked")
            (issued,) = await self.issued(service, 1, year=2034)
            if issued.value is not None:
                key = issued.value.id
                self.till.gate.clear()
                self.till.asked.clear()
                calls = [self.call(lambda: service.charge(key, "card"))]
                ends = _perf_counter() + 1.0
                while not self.till.asked and _perf_counter() < ends:
                    await _sleep(0.01)
                found["charge"] = await self.cancel(calls, "cancelled")
                self.till.gate.set()
                await _sleep(0.1)
                found["booked"] = (await self.outside(self.books.to_json, key) or {}).get("paid")
            self.stage.step("calls after the cancelled ones")
            after = await self.issued(service, 3, year=2034, patience=1.2)
            found["after"] = await Call.over(after)
            found["gaps"] = await self.gaps(2034)

    async def gone(self) -> None:
        """PostgreSQL ends the session in the middle of a payment."""
        self.stage.step("a payment whose database connection is ended by PostgreSQL")
        found: dict[str, Any] = {"after": []}
        async with self.served("gone", found, size=2) as service:
            if service is None:
                return
            (issued,) = await self.issued(service, 1, year=2035)
            if issued.value is None:
                return
            key, cents = issued.value.id, issued.value.total_cents
            async with self.at_work(self.books.held("payment")):
                call = self.paying(service, key, cents)
                await self.outside(self.books.until_waiting, "gone", 1, 1.0)
                await self.outside(self.books.end, "gone")
                await call.within(0.3)
            await call.within(2.0)
            (found["ending"],) = await Call.over([call])
            for _ in range(4):  # each connection of the pool may have to find out for itself
                again = await self.call(lambda: service.get(key)).within(2.0)
                found["after"] += await Call.over([again])
                if again.value is not None or found["after"][-1]["how"] == "running":
                    break
