"""The counter that a lab's billing is served at: opened, called, cancelled and closed, each noted."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import date
from types import ModuleType
from typing import Any

from loopclinic.lessons.lesson import Stage
from loopclinic.lessons.offload import Offload
from loopclinic.lessons.standardize import LESSON
from loopclinic.lessons.standardize.books import Books
from loopclinic.lessons.standardize.till import Call, Till
from loopclinic.probe import Probe
from loopclinic.servers.postgres_monitor import named

__all__ = ["CANCEL", "Counter"]

_sleep, _wait, _perf_counter = asyncio.sleep, asyncio.wait, time.perf_counter
CANCEL = LESSON.budgets["cancel"].limit
_OPEN, _CLOSE = 4.0, 2.0


class Counter(Offload):
    """A lab, a stage, the books and a probe; what every step of a rehearsal needs of them."""

    def __init__(
        self, lab: ModuleType, stage: Stage, books: Books, probe: Probe, own: ThreadPoolExecutor
    ) -> None:
        super().__init__(own)
        self.lab: Any = lab
        self.stage = stage
        self.dsn = stage.services["postgres"]
        self.books = books
        self.probe = probe
        self.till = Till()
        self.paid = 0
        self.refusal: type[BaseException] = self.lab.BillingError
        """The class of the lab's own errors."""

    @asynccontextmanager
    async def served(
        self, name: str, found: dict[str, Any], *, size: int, dsn: str = ""
    ) -> AsyncIterator[Any]:
        """Open the lab's billing for one step, close it, and note what it left at PostgreSQL.

        Gives None where it did not open.
        """
        address = named(dsn or self.dsn, name)
        given: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        over = asyncio.Event()

        async def hold() -> None:
            # Opened and closed in one task, as whoever writes `async with` does.
            async with self.lab.open_billing(address, self.till, size=size) as billing:
                given.set_result(billing)
                await over.wait()

        holding = self.call(hold)
        await _wait([given, holding.task], timeout=_OPEN, return_when=asyncio.FIRST_COMPLETED)
        opened = given.done()
        found["opening"] = None if opened else holding.ending()
        try:
            yield given.result() if opened else None
        finally:
            over.set()
            self.till.gate.set()
            await holding.within(_CLOSE)
            found["closing"] = None
            if holding.task.cancelled() or not holding.task.done() or holding.task.exception():
                (found["closing"],) = await Call.over([holding])
            given.cancel()
            ends = _perf_counter() + CANCEL
            while (
                left := await self.outside(self.books.sessions, name)
            ) and _perf_counter() < ends:
                await _sleep(0.02)
            found["left"] = len(left)
            if left:
                await self.outside(self.books.end, name)
            self.stage.fact(name, found)

    def line_of(self, quantity: int, cents: int) -> Any:
        """Return an invoice's line."""
        return self.lab.InvoiceLine("a night", quantity, cents)

    def issuing(self, service: Any, year: int) -> Call:
        """Begin to issue an invoice of two lines."""
        return self.issuing_lines(service, [self.line_of(2, 1900), self.line_of(1, 450)], year)

    def call(self, begin: Callable[[], Any]) -> Call:
        """Begin to await what `begin()` returns."""
        return Call(begin, self.refusal)

    def issuing_lines(self, service: Any, lines: Sequence[Any], year: int) -> Call:
        """Begin to issue an invoice of these lines."""
        return self.call(lambda: service.issue(7, 11, lines, on=date(year, 5, 1)))

    async def issued(
        self, service: Any, many: int, *, year: int, patience: float = 2.0
    ) -> list[Call]:
        """Issue so many invoices at once, and wait."""
        calls = [self.issuing(service, year) for _ in range(many)]
        await _wait([call.task for call in calls], timeout=patience)
        return calls

    def paying(self, service: Any, key: int, cents: int, reference: str = "") -> Call:
        """Begin to record a payment, under a reference of its own unless given."""
        self.paid += 1
        payment = self.lab.Payment(cents, "transfer", reference or f"P-{self.paid}")
        return self.call(lambda: service.record_payment(key, payment))

    async def gaps(self, year: int) -> dict[str, Any]:
        """Return the numbers of a year, how far its counter has come, and whether that is one."""
        numbers = await self.outside(self.books.numbers, year)
        counted = await self.outside(self.books.counted, year)
        right = numbers == [f"{year}-{one:05d}" for one in range(1, len(numbers) + 1)]
        return {"numbers": numbers[:20], "counted": counted, "right": right}

    async def cancel(self, calls: Sequence[Call], name: str) -> dict[str, Any]:
        """Cancel these, and ask PostgreSQL what is left."""
        place = Call.waits_at(calls)
        endings = await Call.end(calls, CANCEL)
        seconds, left = await self.outside(self.books.forgotten, name, CANCEL)
        return {"endings": endings, "forgotten": seconds, "open": len(left), "place": place}
