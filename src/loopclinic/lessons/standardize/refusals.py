"""What a lab's billing must refuse, and how: no locks are held here, so that any driver gets through it."""

from typing import Any

from loopclinic.lessons.standardize.counter import CANCEL, Counter
from loopclinic.lessons.standardize.till import Call

__all__ = ["Refusals"]

_NOWHERE = 987_654_321


class Refusals:
    """Calls that have to fail, and the books after each."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.found: dict[str, Any] = {"endings": {}, "open": {}}

    async def run(self) -> None:
        """Try each."""
        counter = self.counter
        counter.stage.step("calls that billing must refuse")
        async with counter.served("refused", self.found, size=3) as service:
            if service is None:
                return
            issued = await counter.issued(service, 2, year=2036)
            keys = [call.value.id for call in issued if call.value is not None]
            if len(keys) < len(issued):
                self.found["endings"]["issue"] = issued[-1].ending()
                return
            await self._declined(service, keys[0])
            await self._invalid(service)
            await self._payments(service, *keys)
            for name in ("get", "charge", "record_payment"):
                await self._unknown(service, name)

    async def _note(self, name: str, call: Call) -> None:
        counter = self.counter
        await call.within(2.0)
        (self.found["endings"][name],) = await Call.over([call])
        _, left = await counter.outside(counter.books.forgotten, "refused", CANCEL)
        if left:
            self.found["open"][name] = len(left)
            # What is left open would be in the way of the next.
            await counter.outside(counter.books.end, "refused")

    async def _declined(self, service: Any, key: int) -> None:
        counter = self.counter
        counter.till.declines = True
        await self._note("declined", counter.call(lambda: service.charge(key, "card")))
        counter.till.declines = False
        entry = await counter.outside(counter.books.to_json, key)
        self.found["declined_paid"] = (entry or {}).get("paid")

    async def _invalid(self, service: Any) -> None:
        counter = self.counter
        year = 2037
        lines = [counter.line_of(1, 500), counter.line_of(0, 100)]
        await self._note("invalid", counter.issuing_lines(service, lines, year))
        await counter.issued(service, 1, year=year)
        self.found["gaps"] = await counter.gaps(year)

    async def _payments(self, service: Any, first: int, second: int) -> None:
        counter = self.counter
        await counter.paying(service, first, 100, "R-1").within(2.0)
        await self._note("duplicate", counter.paying(service, second, 100, "R-1"))
        await self._note("overpaid", counter.paying(service, second, 10_000_000))
        entry = await counter.outside(counter.books.to_json, second)
        self.found["refused_paid"] = (entry or {}).get("paid")

    async def _unknown(self, service: Any, name: str) -> None:
        payment = self.counter.lab.Payment(100, "transfer", f"U-{name}")
        arguments = {"get": (), "charge": ("card",), "record_payment": (payment,)}[name]
        method = getattr(service, name)
        await self._note(f"unknown {name}", self.counter.call(lambda: method(_NOWHERE, *arguments)))
