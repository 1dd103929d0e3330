"""Base of scenes that use PostgreSQL: lists the lab's sessions, locks rows, adds latency, interrupts hangs.

A lesson's `check` imports it, so that drivers are there before the lab is. Blocking work is done on a
thread of the stage's own: the loop and its default executor are the lab's.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import MISSING, fields, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar

# Drivers take a tenth of a second to import: no lab is charged with a stall for it.
import asyncpg  # noqa: F401
import psycopg_pool  # noqa: F401

from loopclinic.lessons.core.call import Call, Calls
from loopclinic.lessons.core.check_threads import Offload
from loopclinic.lessons.core.scene import Judged, Said, Scene
from loopclinic.lessons.core.shared_findings import Place, Stall
from loopclinic.lessons.core.stacks import awaiting, defined_at, learners, waits_at
from loopclinic.lessons.core.verdicts import broke
from loopclinic.lessons.database.postgres_verdicts import (
    LINE,
    Cancel,
    Gathered,
    Served,
    Stuck,
    closed,
    hung,
)
from loopclinic.lessons.database.sessions import SessionMonitor, Sighting, named
from loopclinic.lessons.database.stall_interrupter import StallInterrupter, on_the_loop
from loopclinic.probe import Stall as ProbeStall
from loopclinic.probe.census import census_of
from loopclinic.servers.slow_proxy import SlowLine

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from loopclinic.lessons.core.stage import Stage

P = ParamSpec("P")
T = TypeVar("T")

# Kept from before a lab is imported, which may replace them.
_sleep, _wait, _to_thread = asyncio.sleep, asyncio.wait, asyncio.to_thread
_perf_counter = time.perf_counter

_LOOK = 0.02
_OPEN, _CLOSE = 4.0, 1.5
"""Seconds that a lab's `async with` has to open and to close."""
_GONE = 0.5
"""Seconds that PostgreSQL has to notice that a connection was closed."""
_SETTLES = 0.2
"""Seconds that a pool has to take back a connection that is no longer used."""
_END = 2.0
_TURNS = 3
"""Turns of the loop in which a task that was cancelled may end: a connection takes longer to close."""
_KIT = str(Path(__file__).parents[2])


def _asked(
    work: Callable[Concatenate[SessionMonitor, P], T],
) -> "Callable[Concatenate[Database, P], Awaitable[T]]":
    """Return this method of a monitor as one of a database, on the check's own thread."""

    async def ask(self: "Database", /, *values: P.args, **_: P.kwargs) -> T:
        return await self.outside(work, self.monitor, *values)

    return ask


class Database(Offload):
    """The check's own database, at `dsn`: `await stage.shared(Database, stage)`.

    Sessions that a lab gives names of its own are known, too.
    """

    def __init__(self, stage: "Stage") -> None:
        super().__init__(stage.own)
        self.dsn = stage.services["postgres"]
        self.monitor: SessionMonitor
        self.stuck = False
        """Whether a call had to be broken off: what needs a free loop is left out from there on."""
        self.opens = True
        """Whether the lab's service has opened in every scene so far."""
        self._probe = stage.probe

    async def __aenter__(self) -> Self:
        self.monitor = await self.outside(lambda: SessionMonitor(self.dsn, "check", unnamed=True))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.outside(self.monitor.connection.close)

    @staticmethod
    async def slowest_thread(seconds: float) -> float:
        """Return how long a call of `asyncio.to_thread` waited at worst while all threads were at work.

        It asks for `seconds`. What a busy machine takes to run a thread that is free does not count.
        """
        loop = asyncio.get_running_loop()
        last = _perf_counter()
        ends, worst = last + seconds, 0.0
        while last < ends:
            # Waited for from afar: were it cancelled, it would not count as waiting any more.
            begun, waited = list[bool](), 0.0
            asked = asyncio.ensure_future(_to_thread(begun.append, True))
            while not asked.done() and last < ends:
                await _wait([asked], timeout=_LOOK)
                last, before = _perf_counter(), last
                census = census_of(loop)
                if not begun and census.executor_busy >= census.executor_workers:
                    waited += last - before
            worst = max(worst, waited)
            asked.cancel()
            await _sleep(0.03)
            last = _perf_counter()
        return worst

    rows = _asked(SessionMonitor.rows)
    sessions = _asked(SessionMonitor.sessions)
    until_waiting = _asked(SessionMonitor.until_waiting)
    forgotten = _asked(SessionMonitor.forgotten)

    def holding(self, query: str, *values: Any) -> AbstractAsyncContextManager[None]:
        """Hold the rows that `query` locks while the context is open: sessions that write them wait."""
        return self.at_work(self.monitor.holding(query, *values))

    def watch(self, name: str) -> AbstractAsyncContextManager[Sighting]:
        """Watch these sessions while the context is open; gives a `Sighting`."""
        return self.at_work(self.monitor.watch(name))

    async def serve(
        self,
        name: str,
        opens: Callable[[str], Any],
        drive: "Callable[[Any], Awaitable[None]]",
        *,
        needs: str,
        dsn: str = "",
        patience: float = 0.8,
        by_error: bool = False,
    ) -> Served:
        """Open the lab's service, drive and close it; what it leaves at PostgreSQL is ended.

        `opens` is given an address, by default the database's, that carries `name`, and returns an
        asynchronous context manager, whose value must have the method `needs`. A call that keeps the
        loop for `patience` seconds is broken off. With `by_error` an error leaves its `async with`.
        """
        given: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        over, before = asyncio.Event(), asyncio.all_tasks()
        went_on, places = list[asyncio.Task[Any]](), list[Place | None]()

        async def hold() -> None:
            # Opened and closed in one task, as by `async with` in a program.
            manager = opens(named(dsn or self.dsn, name))
            with suppress(_LeftByError):
                async with manager as value:
                    if not hasattr(value, needs):
                        raise TypeError(f"__aenter__ returned {value!r}, which has no `{needs}`")
                    places.append(defined_at(type(manager).__aexit__))
                    given.set_result(value)
                    await over.wait()
                    if by_error:
                        raise _LeftByError
            for _ in range(_TURNS):
                await _sleep(0)
            went_on.extend(one for one in asyncio.all_tasks() - before if not _of_kit(one))
            places[:0] = map(waits_at, went_on)

        with StallInterrupter(
            self._probe, lambda: self.monitor.sessions(name), patience=patience
        ) as rescue:
            call = Call(hold)
            await _wait([given, call.task], timeout=_OPEN, return_when=asyncio.FIRST_COMPLETED)
            if not given.done():
                given.cancel()
                self.opens, ending = False, await call.settled(0)
                await self._end(name)
                return Served(opening=ending)
            try:
                await drive(given.result())
            finally:
                over.set()
                closing = await call.settled(_CLOSE)
                await _sleep(_LOOK)
        left, stuck = await self._end(name), None
        if rescue.found is not None and (stall := stall_of(rescue.found[0])) is not None:
            stuck, self.stuck = Stuck(stall, rescue.found[1]), True
        failed = None if closing.returned else closing
        place, tasks = next(filter(None, places), None), len(went_on)
        return Served(failed, left, stuck, None, tasks, place, by_error)

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


class _LeftByError(Exception):
    """Leaves a service's `async with`."""


class DatabaseScene(Scene[Any]):
    """A scene at a service of the lab's that works at PostgreSQL: opened, driven, closed and judged.

    Once it does not open, further scenes are left out.
    """

    block: ClassVar[str]
    """The code that opens the service, as a reason shows it: `Service(...)`."""
    closer: ClassVar[str]
    """What closes it: `__aexit__`."""
    needs: ClassVar[str]
    """A method that it must have."""
    opening: ClassVar[int | None]
    """The promise that is broken if it does not open; other scenes may show more."""
    free: ClassVar[int | None]
    """The promise that the loop stays free; None if another scene judges calls that were broken off."""
    closing: ClassVar[int]
    """The promise that it closes."""
    on_slow_line: ClassVar[bool] = False
    by_error: ClassVar[bool] = False
    """Whether an error leaves its `async with`."""
    lab: Any
    stage: "Stage"
    database: Database
    service: Any

    def open(self, dsn: str) -> Any:
        """Return the lab's asynchronous context manager for the database at this address."""
        raise NotImplementedError

    async def meet(self, found: Any) -> None:
        """Drive the service and set the finding's fields but `served`; unset ones are None."""
        raise NotImplementedError

    def reasons(self, found: Any, judged: Judged) -> Iterator[Said]:
        """Judge what `meet` found."""
        raise NotImplementedError

    async def serve(
        self, lab: ModuleType, stage: "Stage", *, patience: float = 0.8, opener: Place | None = None
    ) -> Any:
        """Open the service, drive it, close it, and return the finding."""
        self.lab, self.stage = lab, stage
        self.database = database = await stage.shared(Database, stage)
        if not database.opens:
            return None
        found, self._began = SimpleNamespace(), stage.probe.snapshot().at

        async def drive(service: Any) -> None:
            self.service = service
            await self.meet(found)

        line: AbstractAsyncContextManager[str] = nullcontext(database.dsn)
        if self.on_slow_line:
            line = database.at_work(SlowLine(database.dsn, there_and_back=LINE))
        async with line as dsn:
            options: dict[str, Any] = {"dsn": dsn, "patience": patience, "by_error": self.by_error}
            served = await database.serve(self.name, self.open, drive, needs=self.needs, **options)
        unset = [
            it.name for it in fields(self.Found) if it.default is it.default_factory is MISSING
        ]
        served = replace(served, place=served.place or opener)
        return self.Found(**dict.fromkeys(unset) | vars(found) | {"served": served})

    def stalls(self) -> list[Stall]:
        """Return the lab's stalls since it was opened."""
        stalls = (stall_of(one) for one in self.stage.probe.stalls if one.started >= self._began)
        return [one for one in stalls if one is not None]

    async def gathered(self, asking: int, calls: Calls[Any]) -> Gathered:
        """Return where PostgreSQL's sessions and these calls wait while others ask."""
        _, holding = await self.database.forgotten(self.name, _SETTLES)
        pooled = any(in_pool(call) for call in calls.values())
        return Gathered(asking, holding, calls.look(), pooled)

    async def cancel(self, calls: Calls[Any], patience: float) -> Cancel:
        """Cancel these, and ask PostgreSQL what is left, for `patience` seconds each."""
        place, endings = calls.look(), await calls.cancelled(patience)
        seconds, left = await self.database.forgotten(self.name, patience)
        return Cancel(endings, left, seconds, place)

    def judge(self, found: Any, judged: Judged) -> Iterator[Said]:
        """Judge how it opened and closed, and between the two what `meet` found."""
        served: Served = found.served
        if (opening := served.opening) is not None:
            said = f"`async with {self.block}` gave no service: it {opening}."
            step = "Let it open what calls need, and give the service."
            place = opening.place or served.place
            yield broke(self.opening, said, step, place, timed=opening.overdue)
        elif served.stuck is not None:
            # What else there is to see of calls that were broken off was the rescue's doing.
            if self.free:
                # A hang comes first, and then what showed the same without one.
                hang = hung(served.stuck, promise=self.free)
                proved = [one for one in judged.reasons if one.conflict == hang.conflict]
                judged.reasons[:] = [one for one in judged.reasons if one not in proved]
                yield from (hang, *proved)
        else:
            if not judged.has("nested-loop"):
                yield from self.reasons(found, judged)
            if not self.keeps_open(judged):
                yield from closed(served, self.block, self.closer, promise=self.closing)

    def keeps_open(self, judged: Judged) -> bool:
        """Return whether there is a reason already why connections stay open."""
        return judged.has("unclosed-resource", "transaction-left-open")


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
    """Return whether a call waits in asyncpg's or psycopg's pool."""
    frames = awaiting(call.task, generators=True)  # psycopg's pool.connection() is one
    return any(_of_pool(frame.f_code.co_filename) for frame, _ in frames)


def _of_pool(file: str) -> bool:
    return "psycopg_pool" in Path(file).parts or Path(file).parts[-2:] == ("asyncpg", "pool.py")


def _of_kit(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_filename.startswith(_KIT)
