"""The check of lab 99: one scene, in virtual time."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from loopclinic.lessons.core import Budget, Call, Check, Ending, Judged, Place, Said, Scene
from loopclinic.lessons.core.stacks import defined_at
from loopclinic.lessons.core.verdicts import broke, deadline_kept

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

LATE = Budget(
    1.1,
    "x the deadline",
    "A right answer takes 1.0; one with a deadline for each attempt takes 2.0.",
)
DEADLINE = 2.0
"""Seconds that the lab gets for a lookup."""
ANSWERS = 0.75
"""Share of the deadline after which the supplier answers: a deadline of half the length is too short."""
PATIENCE = 3 * DEADLINE
"""Seconds after which a lookup is given up."""


class Supplier:
    """Knows one price, and tells it after some seconds, or never."""

    def __init__(self, price: int, seconds: float | None) -> None:
        self._price, self._seconds = price, seconds

    async def price(self, item: str) -> int:
        """Return the price, whatever the item."""
        del item
        if self._seconds is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(self._seconds)
        return self._price


class Lookups(Scene["Lookups.Found"]):
    """A supplier that answers in time, and one that never does."""

    title, promises = "asking a supplier that answers, and one that never does", (1,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """How each lookup ended."""

        price: int
        answered: Ending
        silent: Ending
        line: Place | None
        """The line that defines `lookup_price`."""

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        """Ask both."""
        price = stage.rng.randrange(100, 1000)

        def lookup(seconds: float | None) -> Call:
            supplier = Supplier(price, seconds)
            return Call(lambda: lab.lookup_price(supplier, "tea", deadline=DEADLINE))

        answered = await lookup(ANSWERS * DEADLINE).settled(PATIENCE)
        silent = await lookup(None).settled(PATIENCE)
        return self.Found(price, answered, silent, defined_at(lab.lookup_price))

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        """Judge the price that was returned, then the deadline."""
        del judged
        answered = found.answered
        if answered.value != repr(found.price):
            yield broke(
                1,
                f"The supplier's price was {found.price}, and the lookup {answered}.",
                "Return what the supplier answers, if it answers within `deadline`.",
                answered.place or found.line,
            )
            return
        yield from deadline_kept(
            found.silent,
            DEADLINE,
            LATE,
            "the supplier was silent",
            promise=1,
            place=found.silent.place or found.line,
        )


def praise(judged: Judged) -> str:
    """Return how long the supplier that never answers was waited for."""
    return f"Gave up a silent supplier after {judged.expect(Lookups).silent.seconds:.1f} s."


CHECK = Check(scenes=(Lookups(),), praise=praise, virtual=True)
