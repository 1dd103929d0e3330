"""PostgreSQL on a scene's stage: the lab's sessions asked for, rows held, a slow line, hangs broken off.

A lesson's `check` imports it, so that drivers are there before the lab is. Blocking work is done on a
thread of the stage's own: the loop and its default executor are the lab's.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

# Drivers take a tenth of a second to import: no lab is charged with a stall for it.
import asyncpg  # noqa: F401
import psycopg_pool  # noqa: F401

from loopclinic.lessons.core.call import Call
from loopclinic.lessons.core.connections import Served, Stuck
from loopclinic.lessons.core.findings import Ending, Place, Stall
from loopclinic.lessons.core.rescue import Rescue
from loopclinic.lessons.offload import Offload, slowest_thread
from loopclinic.lessons.slow_line import SlowLine
from loopclinic.lessons.stalls import on_the_loop
from loopclinic.lessons.whereabouts import awaiting, learners
from loopclinic.probe import Stall as ProbeStall
from loopclinic.servers.postgres_monitor import named
from loopclinic.servers.postgres_sessions import Session, SessionMonitor, Sighting

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

__all__ = ["Database", "NotOpenedError", "Service", "in_pool", "stall_of"]

# Kept from before a lab is imported, which may replace them.
_sleep, _wait, _perf_counter = asyncio.sleep, asyncio.wait, time.perf_counter

_LOOK = 0.02
_OPEN, _CLOSE = 4.0, 1.5
"""Seconds that a lab's `async with` has to open and to close."""
_GONE = 0.5
"""Seconds that PostgreSQL has to notice that a connection was closed."""
_END = 2.0


class Database(Offload):
    """The check's own database, at `dsn`: `await stage.shared(Database, stage)`.

    Sessions that a lab gives names of its own are known, too.
    """

    slowest_thread = staticmethod(slowest_thread)
    """Returns how long a call of `asyncio.to_thread` waits for a thread at worst, in so many seconds."""

    def __init__(self, stage: "Stage") -> None:
        super().__init__(stage.own)
        self.dsn = stage.services["postgres"]
        self.monitor: SessionMonitor
        self.stuck = False
        """Whether a call had to be broken off: what needs a free loop is left out from there on."""
        self._probe = stage.probe

    async def __aenter__(self) -> Self:
        self.monitor = await self.outside(lambda: SessionMonitor(self.dsn, "check", unnamed=True))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.outside(self.monitor.connection.close)

    async def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return what a query gives."""
        return await self.outside(self.monitor.rows, query, *values)

    async def sessions(self, name: str) -> list[Session]:
        """Return the sessions of the service that was opened under this name."""
        return await self.outside(self.monitor.sessions, name)

    async def until_waiting(self, name: str, many: int, patience: float) -> None:
        """Wait until so many of these sessions wait for a row that is held; at most `patience` s."""
        await self.outside(self.monitor.until_waiting, name, many, patience)

    async def forgotten(self, name: str, patience: float) -> tuple[float, list[Session]]:
        """Wait until none of these sessions has a transaction, for `patience` seconds at most.

        Returns the seconds it took, and those that still have one.
        """
        return await self.outside(self.monitor.forgotten, name, patience)

    def holding(self, query: str, *values: Any) -> AbstractAsyncContextManager[None]:
        """Hold the rows that `query` locks while the context is open: sessions that write them wait."""
        return self.at_work(self.monitor.holding(query, *values))

    def watch(self, name: str) -> AbstractAsyncContextManager[Sighting]:
        """Watch these sessions while the context is open; gives a `Sighting`."""
        return self.at_work(self.monitor.watch(name))

    def slow_line(self, there_and_back: float) -> AbstractAsyncContextManager[str]:
        """Open a slow line to the database; gives its address."""
        return self.at_work(SlowLine(self.dsn, there_and_back=there_and_back))

    @asynccontextmanager
    async def serve(
        self,
        name: str,
        opens: Callable[[str], Any],
        *,
        dsn: str = "",
        patience: float = 0.8,
        needs: str = "run",
    ) -> AsyncIterator["Service"]:
        """Open the lab's service for one scene, and close it; what it leaves at PostgreSQL is ended.

        `opens` is given an address, by default the database's, that carries `name`, and returns an
        asynchronous context manager, whose value must have the method `needs`. A call that keeps the
        loop for `patience` seconds is broken off.

        Raises:
            NotOpenedError: it did not open.
        """
        given: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        over = asyncio.Event()

        async def hold() -> None:
            # Opened and closed in one task, as by `async with` in a program.
            async with opens(named(dsn or self.dsn, name)) as value:
                if not hasattr(value, needs):
                    raise TypeError(f"__aenter__ returned {value!r}, which has no `{needs}`")
                given.set_result(value)
                await over.wait()

        with Rescue(self._probe, lambda: self.monitor.sessions(name), patience=patience) as rescue:
            call = Call(hold)
            await _wait([given, call.task], timeout=_OPEN, return_when=asyncio.FIRST_COMPLETED)
            if not given.done():
                given.cancel()
                ending = await call.settled(0)
                await self._end(name)
                raise NotOpenedError(ending)
            service = Service(given.result())
            try:
                yield service
            finally:
                over.set()
                closing = await call.settled(_CLOSE)
                await _sleep(_LOOK)
        left = await self._end(name)
        stuck = None
        if rescue.found is not None and (stall := stall_of(rescue.found[0])) is not None:
            stuck, self.stuck = Stuck(stall, rescue.found[1]), True
        service.found = Served(None if closing.returned else closing, left, stuck)

    async def _end(self, name: str) -> int:
        """Give these sessions time to end, end the rest, and return how many these were.

        A pool may open new ones for them, which carry the name as well and do no harm to other scenes.
        """
        ends = _perf_counter() + _GONE
        while (left := await self.sessions(name)) and _perf_counter() < ends:
            await _sleep(_LOOK)
        if left:
            await self.outside(self.monitor.end, name)
        known, ends = {one.name for one in left}, _perf_counter() + _END
        while known & {one.name for one in await self.sessions(name)} and _perf_counter() < ends:
            await _sleep(_LOOK)
        return len(left)


class NotOpenedError(Exception):
    """The lab's service did not open: `ending` says why."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(f"opening the service {ending}")
        self.ending = ending


class Service:
    """The lab's service in one scene: its `value`, and once it is closed what was `found`."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.found: Served


def stall_of(stall: ProbeStall) -> Stall | None:
    """Return the learner's innermost line in a stall, None if it was none of theirs.

    A wait for psycopg's pool looks like pool-starvation: only the loop can give a connection back.
    """
    inside = [frame for frame in on_the_loop(stall) if learners(frame.file)]
    if not inside:
        return None
    frame = inside[-1]
    pooled = any(one.function == "getconn" and _of_pool(one.file) for one in stall.stack)
    place = Place(frame.file, frame.line, frame.code or "")
    return Stall(place, stall.seconds, "pool-starvation" if pooled else stall.conflict)


def in_pool(call: Call) -> bool:
    """Whether a call waits in asyncpg's or psycopg's pool."""
    frames = awaiting(call.task, generators=True)  # psycopg's pool.connection() is one
    return any(_of_pool(frame.f_code.co_filename) for frame, _ in frames)


def _of_pool(file: str) -> bool:
    return "psycopg_pool" in Path(file).parts or Path(file).parts[-2:] == ("asyncpg", "pool.py")
