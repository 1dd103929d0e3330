"""Calls of a lab's `Audits.run`, the language model that they ask, and what PostgreSQL has of them."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loopclinic.lessons.core import Call, Calls
from loopclinic.lessons.core.database import Database
from loopclinic.lessons.sync_database.records import Audit, answer_to

__all__ = ["GATHER", "AuditCall", "AuditCalls", "Stored", "is_models", "stored"]

# Kept from before a lab is imported, which may replace them.
_sleep, _perf_counter, _Event = asyncio.sleep, time.perf_counter, asyncio.Event

GATHER = 1.2
"""Seconds that audits get until all ask; a right answer needs some milliseconds."""


class ModelError(Exception):
    """The language model could not answer."""


class AuditCall(Call):
    """A call of `run`, with the language model as it meets it: which answers when the gate is open."""

    def __init__(self, audits: Any, audit: Audit, gate: asyncio.Event, *, fails: bool) -> None:
        self.audit, self.asked = audit, list[str]()
        self._gate, self._fails = gate, fails
        super().__init__(lambda: audits.run(audit.id, self._ask), "run")

    async def _ask(self, text: str) -> str:
        self.asked.append(text)
        await self._gate.wait()
        await _sleep(0.01)
        if self._fails:
            raise ModelError("the model is overloaded")
        try:
            return answer_to(self.audit, text)
        except LookupError:
            return "I do not understand the question."


class AuditCalls(Calls[int]):
    """Calls of `run` that begin together, with one gate."""

    def __init__(
        self, audits: Any, due: Sequence[Audit], *, is_open: bool = False, fails: bool = False
    ) -> None:
        self.gate = _Event()
        if is_open:
            self.gate.set()
        self.each = [AuditCall(audits, audit, self.gate, fails=fails) for audit in due]
        super().__init__(enumerate(self.each))

    async def all_ask(self) -> int:
        """Wait until all ask or have ended, and return how many ask."""
        ends = _perf_counter() + GATHER
        while not all(call.asked or call.done for call in self.each) and _perf_counter() < ends:
            await _sleep(0.01)
        return sum(bool(call.asked) for call in self.each)


def is_models(error: BaseException | None) -> bool:
    """Whether it is the model's error, or a group of such."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_models(one) for one in error.exceptions)
    return isinstance(error, ModelError)


@dataclass(frozen=True, slots=True)
class Stored:
    """What PostgreSQL has of some audits, by their ids."""

    done: list[int]
    touched: list[int]
    """Audits that are done or have responses."""
    wrong: list[int]
    """Audits that are not stored as they should be."""
    miscounted: list[int]
    """Companies whose sums are not those of their audits."""


async def stored(database: Database, audits: Sequence[Audit]) -> Stored:
    """Return what PostgreSQL has of these audits, and which sums are not as they should be."""
    states = await database.rows(
        "select audits.id, status, audits.mentions, count(responses.query_id),"
        " count(*) filter (where responses.mentioned) from audits"
        " left join queries on audit_id = audits.id"
        " left join responses on query_id = queries.id"
        " where audits.id = any(%s) group by audits.id",
        [one.id for one in audits],
    )
    totals = await database.rows(
        "select companies.id, audits_done, companies.mentions,"
        " count(audits.id), coalesce(sum(audits.mentions), 0) from companies"
        " left join audits on company_id = companies.id and status = 'done'"
        " group by companies.id"
    )
    wanted = {one.id: (one.mentions, len(one.queries), one.mentions) for one in audits}
    return Stored(
        done=[row[0] for row in states if row[1] == "done"],
        touched=[row[0] for row in states if row[1] == "done" or row[3]],
        wrong=[row[0] for row in states if row[1] != "done" or row[2:] != wanted[row[0]]],
        miscounted=[row[0] for row in totals if row[1:3] != row[3:]],
    )
