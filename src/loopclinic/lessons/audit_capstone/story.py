"""Experiments of notebook 14: the job that hangs, its functions by the scanner, a cancel, a benchmark."""

import asyncio
import atexit
import inspect
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count as numbers
from pathlib import Path
from random import randrange
from typing import Any

import psycopg

from loopclinic.drawing.tables import Drawing, Drawn, bold, code, table
from loopclinic.lessons.audit_capstone import LESSON
from loopclinic.lessons.audit_capstone.audit_scene import FUNCTIONS
from loopclinic.lessons.audit_capstone.ladder import COSTS, SIZE
from loopclinic.lessons.audit_capstone.queue_tables import Due, companies, enqueue, lay_out
from loopclinic.lessons.database.sessions import Session, SessionMonitor, named
from loopclinic.lessons.story.kernel_database import KernelDatabase
from loopclinic.lessons.story.race import Column, Race, Result
from loopclinic.probe import Probe
from loopclinic.scanner import scan
from loopclinic.units import count, span

_NUMBERS = numbers(1 + 1000 * randrange(1_000_000))  # noqa: S311 - no secret
"""Of audits; each is used once."""
_MODELS, _QUERIES, _LIMIT, _LATENCY = 3, 2, 30, 0.2
"""Of the benchmark: models, queries of an audit, places of a model, seconds of an answer."""
_STILL = 1.0
"""Seconds without a change after which a job counts as idle."""
_LOCKED = "select 1 from companies for no key update"

database = KernelDatabase("audit capstone", lay_out).address
"""`await database()` gives the address of a database with the job's tables."""


def queued(dsn: str, many: int) -> list[int]:
    """Queue so many audits, those of one company after each other; return their numbers."""
    of = sorted((companies() * many)[:many], key=lambda one: one.id)
    due = [Due(next(_NUMBERS), one) for one in of]
    with psycopg.connect(dsn, autocommit=True) as connection:
        enqueue(connection, due)
    return [one.id for one in due]


# The job that hangs.


@dataclass(repr=False)
class Job(Drawn):
    """The job as it ships, in a process of its own: `await job.idle()`, then attach to `job.pid`."""

    dsn: str
    process: "subprocess.Popen[bytes]"
    audits: list[int]
    completed: int = 0
    computed: float = 0.0
    """Seconds of a processor that it took in its last idle second."""
    sessions: Sequence[Session] = ()

    @property
    def pid(self) -> int:
        """Its process number."""
        return self.process.pid

    async def idle(self, patience: float = 20.0) -> "Job":
        """Wait until nothing was completed for a second; look what the process and PostgreSQL do."""
        return await asyncio.to_thread(self._idle, patience)

    def _idle(self, patience: float) -> "Job":
        with SessionMonitor(self.dsn, "observer") as monitor:
            ends, still = time.monotonic() + patience, time.monotonic()
            while time.monotonic() < min(ends, still + _STILL):
                query = "select count(*) from audits where status = 'completed' and id = any(%s)"
                now = int(monitor.rows(query, self.audits)[0][0])
                if now != self.completed or not monitor.sessions("job"):
                    still, self.completed = time.monotonic(), now
                before = _cpu(self.pid)
                time.sleep(0.2)
                self.computed = (_cpu(self.pid) - before) / 0.2
            self.sessions = monitor.sessions("job")
        return self

    def kill(self) -> None:
        """End it."""
        self.process.kill()
        # loopclinic: ignore[blocking-subprocess] a killed process is gone at once
        self.process.wait()

    def drawing(self) -> Drawing:
        """Draw what the process and PostgreSQL say of it."""
        alive = "alive" if self.process.poll() is None else f"ended ({self.process.poll()})"
        many = len(self.audits)
        return table(
            ["Session", "PostgreSQL says", "Its last statement"],
            [(str(one.pid), bold(one.says), code(one.query[:90])) for one in self.sessions],
            title=f"Process {self.pid} is {alive}, takes {self.computed:.0%} of a processor, and has "
            f"completed {self.completed} of {many} audits. It wrote no error.",
        )


def _cpu(pid: int) -> float:
    """Return the seconds of a processor that a process took so far; 0 where /proc does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / 100


async def start_job(dsn: str, many: int = 30) -> Job:
    """Queue audits and start the job as it ships; it ends with the kernel."""

    def start() -> Job:
        audits = queued(dsn, many)
        order = [sys.executable, "-m", "audit", named(dsn, "job")]
        process = subprocess.Popen(order, cwd=LESSON.shipped, stderr=subprocess.DEVNULL)
        atexit.register(process.kill)
        return Job(dsn, process, audits)

    return await asyncio.to_thread(start)


# Its functions.


async def functions(package: str | Path) -> Drawing:
    """List the ten functions and what the scanner finds in each."""
    found = await asyncio.to_thread(lambda: scan(package, cached=False).findings)
    named_in: dict[str, list[Any]] = {name: [] for name in FUNCTIONS}
    others: list[Any] = []
    for one in found:
        function = one.chain[0].function.rpartition(".")[2] if one.chain else ""
        named_in.get(function, others).append(one)
    rows: list[tuple[Any, ...]] = [
        (str(number), code(name), _kinds(named_in[name]), _places(named_in[name]))
        for number, name in enumerate(FUNCTIONS, 1)
    ]
    if others:
        rows.append(("", "elsewhere", _kinds(others), _places(others)))
    bad = sum(bool(one) for one in named_in.values())
    title = f"{bad} of {len(FUNCTIONS)} functions wait on the loop, says the scanner, without running any."
    return table(["", "Function", "Found", "Where"], rows, title=title)


def _kinds(found: Sequence[Any]) -> Any:
    return bold(", ".join(dict.fromkeys(one.kind for one in found))) if found else "nothing"


def _places(found: Sequence[Any]) -> str:
    return ", ".join(dict.fromkeys(f"{Path(one.file).name}:{one.line}" for one in found)) or "-"


# A cancel.


async def cancelled(dsn: str, *designs: Callable[[str], Any]) -> Drawing:
    """Cancel an audit of each design while it stores, and see what PostgreSQL has of it later."""
    rows = []
    with await asyncio.to_thread(SessionMonitor, dsn, "observer") as monitor:
        for design in designs:
            name = f"cancel {design.__name__}"
            async with design(named(dsn, name)) as audit:
                (number,) = await asyncio.to_thread(queued, dsn, 1)
                holding = monitor.holding(_LOCKED)
                await asyncio.to_thread(holding.__enter__)
                task = asyncio.ensure_future(audit(number, _answers))
                await asyncio.to_thread(monitor.until_waiting, name, 1, 3.0)
                began = time.perf_counter()
                task.cancel()
                await asyncio.wait([task])
                ended = time.perf_counter() - began
                await asyncio.sleep(0.1)
                sessions = await asyncio.to_thread(monitor.sessions, name)
                open_ = sum(one.in_transaction for one in sessions)
                await asyncio.to_thread(holding.__exit__, None, None, None)
                await asyncio.sleep(0.3)
                query = (
                    "select (select count(*) from queries where audit_id = %s)"
                    " + (select count(*) from final_responses where audit_id = %s),"
                    " status from audits where id = %s"
                )
                left, status = (await asyncio.to_thread(monitor.rows, query, *[number] * 3))[0]
            what = f"{count(open_, 'transaction')} open"
            rows.append(
                [code(design.__name__), span(ended), what, count(left, "row"), bold(status)]
            )
    heads = ["Cancelled while it stores", "The task ended after", "PostgreSQL then"]
    return table([*heads, "Left of it later", "Its status"], rows)


async def _answers() -> list[str]:
    return []


# The race.


async def measure(design: Callable[[str], Any], *, dsn: str, audits: int = 90) -> dict[str, float]:
    """Measure one design: so many audits, 30 at once, at models with limits."""
    due, threads = await asyncio.to_thread(queued, dsn, audits), 0
    models = [asyncio.Semaphore(_LIMIT) for _ in range(_MODELS)]
    at_once = asyncio.Semaphore(_LIMIT)

    async def answer(model: asyncio.Semaphore) -> str:
        async with model:
            await asyncio.sleep(_LATENCY)
        return "an answer"

    async def ask() -> list[str]:
        nonlocal threads
        threads = max(threads, threading.active_count())
        return await asyncio.gather(*(answer(one) for one in models for _ in range(_QUERIES)))

    async def one(number: int) -> None:
        async with at_once:
            await audit(number, ask)

    async with design(dsn) as audit:
        with Probe() as probe:
            began = time.perf_counter()
            await asyncio.gather(*map(one, due))
            seconds = time.perf_counter() - began
            report = probe.report()
    return {
        "rate": audits / seconds,
        "share": audits / seconds / _BOUND,
        "lag": report.lag.p99,
        "threads": threads,
        "lines": len(inspect.getsource(design).splitlines()),
    }


_BOUND = _LIMIT / _QUERIES / _LATENCY
"""Audits a second that the models allow."""


def _bound(_: Result) -> tuple[float, str]:
    why = f"places / queries / latency = {_BOUND:.0f} audits/s, with {SIZE} connections."
    return _BOUND, f"The bound is {why}"


def _claim(found: Result) -> str:
    """Say whether the thread pool is the correct solution."""
    if not {"thread_twins", "one_unit"} <= {one.name for one in found.runners}:
        return ""
    unit, twins = found["one_unit"], found["thread_twins"]
    ratio = unit.typical("rate") / twins.typical("rate")
    (least, most), (low, high) = unit.spread("rate"), twins.spread("rate")
    said = "no" if least > high else "yes"
    how = ", and the rounds overlap" if least <= high and low <= most else " in every round"
    said += f": one unit of work does {ratio:.2f} times as many audits as thread twins{how}"
    return f"Is the thread pool the correct solution? For throughput, {said}. A cancel does not reach a thread."


race = Race(
    measure,
    columns=(
        Column("Audits/s", "rate", spread=True),
        Column("Of the bound", "share", "{:.0%}".format),
        Column("Lag p99", "lag", span),
        Column("Threads", "threads"),
        Column("Lines", "lines"),
    ),
    costs=COSTS,
    bound=_bound,
    good=lambda one: one.typical("lag") < 0.05,  # a stall
    sentence=_claim,
)
"""`race(*designs, dsn=...)` runs each in a process of its own, in turns."""
