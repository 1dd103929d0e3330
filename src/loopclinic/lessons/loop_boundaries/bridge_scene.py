"""Base of lab 12's scenes: threads of a real Celery worker call the lab's bridge, at a PostgreSQL of its own."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, fields, replace
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from loopclinic.lessons.core import Call, Ending, Judged, Place, Said, Scene
from loopclinic.lessons.core.check_threads import entered
from loopclinic.lessons.core.stacks import defined_at, stands_at
from loopclinic.lessons.database.scenes import Database
from loopclinic.lessons.database.sessions import named
from loopclinic.lessons.loop_boundaries.celery_worker import CeleryWorker, Job

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

# Kept from before a lab is imported, which may replace them.
_sleep, _wait = asyncio.sleep, asyncio.wait

SIZE = 3
GONE = 0.5
"""Seconds that PostgreSQL and threads have after `close`."""
_LOOK = 0.01
_PATIENCE = 6.0
"""Seconds for calls that take milliseconds."""
_PROGRAM = """
import sys
from pathlib import Path
from loopclinic.import_path import imported
bridge = imported(Path(sys.argv[1]), "lab").Bridge(sys.argv[2], size=1)
print(bridge.run(lambda pool: pool.fetchval("select 'done'")), flush=True)
"""

Work = Callable[[Any], Awaitable[Any]]


@asynccontextmanager
async def program(lab: ModuleType, stage: "Stage") -> AsyncIterator["asyncio.subprocess.Process"]:
    """Start a process that calls the lab's bridge once and ends without closing it."""
    command = (sys.executable, "-c", _PROGRAM, str(lab.__file__))
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *command,
        named(stage.services["postgres"], "program"),
        stdin=nothing,
        stdout=pipe,
        stderr=nothing,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@asynccontextmanager
async def _celery(stage: "Stage") -> AsyncIterator[CeleryWorker]:
    stage.step("the start of a Celery worker")
    worker = await stage.outside(CeleryWorker, stage.services["valkey"])
    async with entered(worker, stage.own):
        yield worker


class Task(Call):
    """A call that a thread of Celery's makes."""

    def __init__(self, worker: CeleryWorker, call: Callable[[], Any]) -> None:
        self.job: Job | None = None

        async def sent() -> Any:
            self.job = worker.send(call)
            return await asyncio.wrap_future(self.job.future)

        super().__init__(sent)

    async def over(self, patience: float = _PATIENCE) -> Ending:
        """Wait for so many seconds at most; return how it ended, or where its thread stands."""
        await _wait([self.task], timeout=patience)
        ending = self.ending()
        if ending.overdue:
            frame = self.job and self.job.frame
            ending = replace(ending, place=stands_at(frame) if frame else None)
            await self.cancelled(_LOOK)
        return ending


async def all_over(tasks: Sequence[Task]) -> list[Ending]:
    """Wait for all of them, some seconds at most; return how each ended."""
    await _wait([one.task for one in tasks], timeout=_PATIENCE)
    return [await one.over(_LOOK) for one in tasks]


async def one(pool: Any) -> Any:
    """Ask PostgreSQL for 1."""
    return await pool.fetchval("select 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Lines of the lab's bridge."""

    run_at: Place | None
    close_at: Place | None


class BridgeScene(Scene[Any]):
    """A scene at a lab's bridge, which is made, driven and closed by threads of Celery's."""

    stage: "Stage"
    database: Database
    lab: ModuleType
    bridge: Any
    threads_before: set[threading.Thread]
    _worker: CeleryWorker

    async def meet(self, found: Any) -> None:
        """Drive the bridge and set the finding's fields; unset ones are None."""
        raise NotImplementedError

    async def address(self) -> str:
        """Return the address of the database that the bridge is given."""
        return named(self.database.dsn, self.name)

    async def drive(self, lab: ModuleType, stage: "Stage") -> Any:
        """Make the lab's bridge, drive and close it, and return the finding."""
        self.lab, self.stage, self._worker = lab, stage, await stage.shared(_celery, stage)
        self.database = await stage.shared(Database, stage)
        stage.step(self.title)
        dsn, found = await self.address(), SimpleNamespace()
        self.threads_before = set(threading.enumerate())
        self.bridge = await self.task(lambda: lab.Bridge(dsn, size=SIZE)).task
        await self.meet(found)
        await self.task(self.bridge.close).over(GONE)
        # What is not gone would count as the next scene's.
        await stage.outside(lambda: self.database.monitor.end(self.name, within=GONE))
        found.run_at, found.close_at = defined_at(lab.Bridge.run), defined_at(lab.Bridge.close)
        return self.Found(**dict.fromkeys(it.name for it in fields(self.Found)) | vars(found))

    def task(self, call: Callable[[], Any]) -> Task:
        """Begin a task that makes this call."""
        return Task(self._worker, call)

    def run(self, work: Work, timeout: float = 5.0) -> Task:
        """Begin a task that calls `run` with this work."""
        return self.task(lambda: self.bridge.run(work, timeout=timeout))

    async def until(self, enough: Callable[[], bool], within: float) -> None:
        """Wait until this is so, so many seconds at most."""
        ends = self.stage.clock() + within
        while not enough() and self.stage.clock() < ends:
            await _sleep(_LOOK)

    def threads(self) -> list[str]:
        """Return the names of the threads that were started since the bridge was made, and are there."""
        return [it.name for it in threading.enumerate() if it not in self.threads_before]

    def judge(self, found: Any, judged: Judged) -> Iterator[Said]:
        """Judge what `meet` found."""
        raise NotImplementedError
