"""What surrounds a lab while it is rehearsed: audits that are due, PostgreSQL asked from outside, a rescue."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

from loopclinic.lessons.lesson import Stage
from loopclinic.lessons.offload import Offload
from loopclinic.lessons.stalls import stalled_by
from loopclinic.lessons.sync_database import LESSON
from loopclinic.lessons.sync_database.calls import attempt
from loopclinic.lessons.sync_database.observer import Observer
from loopclinic.lessons.sync_database.records import Audit, companies, draw, enter
from loopclinic.lessons.sync_database.rescue import Rescue
from loopclinic.lessons.whereabouts import learners
from loopclinic.probe import Probe, Stall
from loopclinic.servers.postgres_monitor import named

__all__ = ["CROWD", "Surroundings", "told"]

_sleep, _perf_counter = asyncio.sleep, time.perf_counter

CROWD = 10
"""Audits at once."""
_PATIENCE = 0.8
"""Seconds that a call may keep the loop: twice what the rehearsal itself makes the database wait."""
_FORGET = LESSON.budgets["cancel"].limit
_OPEN, _CLOSE = 4.0, 1.5


class Surroundings(Offload):
    """A lab, a stage, an observer and a probe; what every step of a rehearsal needs of them."""

    def __init__(
        self,
        lab: ModuleType,
        stage: Stage,
        observer: Observer,
        probe: Probe,
        own: ThreadPoolExecutor,
    ) -> None:
        super().__init__(own)
        self.lab = lab
        self.stage = stage
        self.dsn = stage.services["postgres"]
        self.observer = observer
        self.probe = probe
        self.due: dict[str, list[Audit]] = {}
        self.stuck = False
        """Whether a call had to be broken off: what needs a free loop is left out from there on."""

    async def enter(self) -> None:
        """Enter the audits of all steps: later, a lab's locks could be in the way."""
        known = list(companies())
        self.stage.rng.shuffle(known)
        of = {
            "line": known[:2],
            "crowd": (known * 2)[:CROWD],
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
        """Return a rescue that asks PostgreSQL for the sessions of this step."""

        def ask() -> list[dict[str, Any]]:
            return [one.to_dict() for one in self.observer.sessions(name)]

        def alike(sessions: list[dict[str, Any]]) -> list[tuple[str, str]]:
            return sorted((one["name"], one["state"]) for one in sessions)

        return Rescue(self.probe, learners, ask=ask, alike=alike, patience=patience)

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
        address = named(dsn or self.dsn, name)
        with self.rescue(name, patience) as rescue:
            audits = self.lab.Audits(address, size=size)
            given: list[Any] = []
            found["opening"] = await attempt(_enter(audits, given), _OPEN)
            try:
                yield given[0] if given else None
            finally:
                found["closing"] = await attempt(_leave(audits), _CLOSE)
                await _sleep(0.02)
            found["stuck"] = self._told_of(rescue)
        self.stuck = self.stuck or found["stuck"] is not None
        ends = _perf_counter() + _FORGET
        while (left := await self.outside(self.observer.sessions, name)) and _perf_counter() < ends:
            await _sleep(0.02)
        found["left"] = len(left)
        if left:
            await self.outside(self.observer.end, name)
        self.stage.fact(name, found)

    @staticmethod
    def _told_of(rescue: Rescue) -> dict[str, Any] | None:
        if not rescue.found:
            return None
        first = rescue.found[0]
        return {
            **(told(first.stall) or {}),
            "times": len(rescue.found),
            "sessions": first.asked or [],
        }

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


async def _enter(audits: Any, given: list[Any]) -> None:
    value = await type(audits).__aenter__(audits)
    if not hasattr(value, "run"):
        raise TypeError(f"__aenter__ returned {value!r}, which has no `run`")
    given.append(value)


async def _leave(audits: Any) -> None:
    await type(audits).__aexit__(audits, None, None, None)


def told(stall: Stall) -> dict[str, Any] | None:
    """Return what a reason needs of a stall of the lab's; a wait for a pool is one of its own kind."""
    found = stalled_by(stall)
    pooled = any(
        one.function == "getconn" and "/psycopg_pool/" in one.file.replace("\\", "/")
        for one in stall.stack
    )
    return {**found, "conflict": "pool-starvation"} if found and pooled else found
