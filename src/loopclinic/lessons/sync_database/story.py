"""Experiments of notebook 02: hangs, what a cancellation leaves behind, a benchmark of drivers."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import asyncpg
from psycopg_pool import ConnectionPool

from loopclinic.drawing.diagram import Arrow, Box, diagram
from loopclinic.drawing.live_drawing import LiveDrawing
from loopclinic.drawing.tables import Cell, Drawing, Drawn, bar, bold, code, span, table
from loopclinic.lessons.database.postgres_verdicts import meanwhile
from loopclinic.lessons.database.sessions import Session, SessionMonitor, named
from loopclinic.lessons.story.kernel_database import KernelDatabase
from loopclinic.lessons.story.other_tools import (
    Opinion,
    debug_run,
    linter,
    load_shipped,
    of_scope,
    opinions,
)
from loopclinic.lessons.story.race import Column, Race, Result
from loopclinic.lessons.story.stalled import named_after, stalled
from loopclinic.lessons.story.sweep import closed_loop
from loopclinic.lessons.sync_database import LESSON
from loopclinic.lessons.sync_database.audit_tables import companies, draw, enter, lay_out
from loopclinic.lessons.sync_database.ladder import CONNECTIONS, COSTS, LATENCY, Rung, opened
from loopclinic.load.variant import Request, Variant
from loopclinic.probe import Probe, Stall
from loopclinic.units import count

LOCK = "select mentions from companies where id = %s for update"
COUNT = "update companies set mentions = mentions + 1 where id = %s"
_SLOW = f"select pg_sleep({LATENCY})"
_LOCKED = "update companies set mentions = mentions where id = 1 returning pg_sleep(1.5)"
"""Takes a row's lock, and then its time."""
_LASTS = 1.5
_LOCKS = "select count(*) from pg_locks where pid = %s and mode = 'RowExclusiveLock'"
_DEADLOCKS = "select deadlocks from pg_stat_database where datname = current_database()"


# Load.

brand_audits = KernelDatabase("brand audits", lay_out).address
"""`await brand_audits()` gives the address of a database with the audit's tables."""


def served(audit: Any, dsn: str) -> Variant:
    """Return `audit(pool, query)` as something to put under load, with a pool of ten connections."""

    async def handle(request: Request) -> None:
        await audit(request.state, _SLOW)

    return Variant(handle, name=audit.__name__, setup=lambda: opened(audit, dsn))


_IDLE = ", with its CPU idle: it waited for one query after another"
stalls = partial(stalled, doing=_IDLE, last="audit")
"""`stalls(vitals)` describes the stalls of the loop under the load, in figures."""


# Hangs.

_HICCUP = 0.1
"""Seconds from which on the loop is drawn as waiting."""


def circle(
    stall: Stall | None = None, sessions: Sequence[Session] = (), connections: int = 1
) -> tuple[Drawing, bool]:
    """Draw the circular wait of a hang at one moment: loop, connection or row, and task.

    Lights up what waits, as probe and PostgreSQL say. Returns also whether nobody can go on.
    """
    stands = stall if stall is not None and stall.seconds > _HICCUP else None
    idle = [one for one in sessions if one.state.startswith("idle in transaction")]
    waits, held = stands is not None, bool(idle)
    row, closed = any(one.waits_for_lock for one in sessions), waits and held
    thing = "a row" if row else "a connection"
    many = f"{len(idle)} of {connections} connections held"
    boxes = (
        Box("The event loop", stands.where if stands else "runs the tasks", 380, 32, waits),
        Box(thing.capitalize(), "locked" if row and held else many, 615, 160, held),
        Box("The task that holds it", "not finished" if held else "-", 145, 160, held),
    )
    arrows = (
        Arrow(0, 1, f"waits for {thing}", waits),
        Arrow(1, 2, "is held by", held),
        Arrow(2, 0, "waits for its turn", closed),
    )
    color, middle, said = "lag", "", "Each arrow lights up once one waits for the other."
    if stands and held:
        color, middle = "stall", f"nobody can go on, for {span(stands.seconds)}"
        said = f"The loop waits for {thing}, {thing} for its task, the task for the loop."
    svg = diagram(boxes, arrows, height=196, title=said, color=color, middle=middle)
    return Drawing(f"<p>{said}</p>{svg}", said), closed


async def model() -> None:
    """Ask a language model; it takes its time."""
    await asyncio.sleep(0.1)


async def patient(pool: ConnectionPool, company: int) -> None:
    """Audit a company as the notebook does: wait for the model with a connection and a row in hand."""
    with pool.connection() as connection:
        connection.execute(LOCK, [company])
        await model()
        connection.execute(COUNT, [company])


@dataclass(frozen=True, repr=False)
class Hang(Drawn):
    """What was found while the loop was stuck, and how it ended."""

    title: str
    stall: Stall | None
    sessions: Sequence[Session]
    endings: Sequence[str]
    seconds: float

    @property
    def end(self) -> str:
        """The first error by which it ended, in words."""
        return next((one for one in self.endings if one != "done"), "itself")

    def drawing(self) -> Drawing:
        """Draw the line that the loop stood at, and what PostgreSQL said of the sessions."""
        if self.stall is None:
            ends = ", ".join(self.endings)
            return Drawing.note(f"{self.title}: no hang; {ends} after {span(self.seconds)}.")
        stuck = f" The loop was stuck at {self.stall.where}{named_after(self.stall)}:\n"
        stood = bold(f"{self.title}.") + stuck
        rows = [(str(one.pid), bold(one.says), code(_short(one.query))) for one in self.sessions]
        return table(
            ["Session", "PostgreSQL says", "Its last statement"],
            rows,
            title=stood + code(self.stall.code or ""),
            sentence=Cell("")
            + "No deadlock, no error, no CPU. Our deadline ended it after "
            + f"{span(self.stall.seconds)}: "
            + code(self.end),
        )


async def hang(
    audit: Callable[[ConnectionPool, int], Awaitable[Any]],
    dsn: str,
    companies: Sequence[int],
    *,
    connections: int,
    title: str,
    patience: float = 2.0,
) -> Hang:
    """Run `audit(pool, company)` for each company at once, on the running loop.

    What waits for a connection or a lock gives up after `patience` seconds; without that, a hang
    would last for good. PostgreSQL is asked meanwhile, from another thread, which draws who waits.
    """
    seen: list[Session] = []
    drawing = LiveDrawing(circle(connections=connections)[0])

    def look() -> None:
        closed = False
        while not over.wait(0.05):
            stall, sessions = probe.current(), monitor.sessions("hang")
            now, closes = circle(stall, sessions, connections)
            if closes or not closed:  # what stays is the hang, and not its end
                drawing.show(now)
            closed = closed or closes
            if not seen and stall is not None and stall.seconds > 0.3:  # it is no hiccup
                seen.extend(sessions)

    locks: dict[str, Any] = {"options": f"-c lock_timeout={round(patience * 1000)}"}
    size: dict[str, Any] = {"min_size": connections, "max_size": connections, "timeout": patience}
    with (
        ConnectionPool(named(dsn, "hang"), kwargs=locks, open=True, **size) as pool,
        await asyncio.to_thread(SessionMonitor, dsn, "observer") as monitor,
    ):
        await asyncio.to_thread(pool.wait)
        with Probe() as probe:
            over, began = threading.Event(), time.perf_counter()
            looking = asyncio.ensure_future(asyncio.to_thread(look))
            audits = (audit(pool, company) for company in companies)
            try:
                found = await asyncio.gather(*audits, return_exceptions=True)
            finally:
                over.set()
                await looking
            seconds = time.perf_counter() - began
            await asyncio.sleep(0)
            long = [one for one in probe.stalls if one.seconds > patience / 2]
    worst = max(long, key=lambda one: one.seconds, default=None)
    ends = (f"{type(one).__name__}: {one}".partition("\n")[0] if one else "done" for one in found)
    return Hang(title, worst, seen, list(ends), seconds)


def _short(query: str) -> str:
    return query if len(query) <= 60 else f"{query[:57]}..."  # fits the column


# A cancel.


async def cancelled(dsn: str, *rungs: Rung, look_after: float = 0.3) -> Drawing:
    """Cancel each rung while its query runs; ask PostgreSQL `look_after` seconds later."""
    rows = []
    with await asyncio.to_thread(SessionMonitor, dsn, "observer") as monitor, Probe() as probe:
        for rung in rungs:
            name = f"cancel {rung.__name__}"
            async with opened(rung, named(dsn, name), 1) as pool:
                mark = probe.snapshot()
                task = asyncio.ensure_future(rung(pool, _LOCKED))
                await asyncio.sleep(0.3)
                began = time.perf_counter()
                task.cancel()
                await asyncio.wait([task])
                ended = time.perf_counter() - began
                stood = probe.snapshot().since(mark).lag.max
                await asyncio.sleep(look_after)
                sessions = await asyncio.to_thread(monitor.sessions, name)
                words = "nothing left"
                for one in filter(lambda one: one.in_transaction, sessions):
                    locks = await asyncio.to_thread(monitor.rows, _LOCKS, one.pid)
                    at_work = "still active in a transaction"
                    words = at_work if one.state == "active" else one.state
                    words += ", its locks held" if locks[0][0] else ""
                    await asyncio.sleep(_LASTS - look_after)
            rows.append([code(rung.__name__), span(ended), span(stood), bold(words)])
    later = f"PostgreSQL, {span(look_after)} later"
    heads = ["Cancelled in its query", "The task ended after", "The loop was stuck for", later]
    return table(heads, rows)


# Diagnosis.


async def run_shipped(dsn: str, audits: list[int]) -> None:
    """Run the lab as shipped with three audits on two connections: it hangs."""

    async def ask(_: str) -> str:
        await model()
        return "no brand in particular"

    async with load_shipped(LESSON).Audits(dsn, size=2) as service:
        await asyncio.gather(*(service.run(audit, ask) for audit in audits))


async def diagnose(dsn: str, stall: Stall | None = None) -> Drawing:
    """Run each tool on the lab as shipped, hung in a process of its own; quote what they say.

    `stall` is one that the scope saw, for the last line. Takes about three seconds.
    """
    with await asyncio.to_thread(SessionMonitor, dsn, "observer") as monitor:
        last = await asyncio.to_thread(monitor.rows, "select coalesce(max(id), 0) from audits")
        first = 1 + int(last[0][0])
        audits = draw(Random(first), companies()[:3], first=first, queries=1)  # noqa: S311 - no secret
        await asyncio.to_thread(enter, monitor.connection, audits)
        order = {"dsn": named(dsn, "suspect"), "audits": [one.id for one in audits]}
        talk = asyncio.ensure_future(debug_run(run_shipped, dump_after=0.6, end_after=1.2, **order))
        sessions: list[Session] = []
        try:
            while not talk.done():
                now = await asyncio.to_thread(monitor.sessions, "suspect")
                # At its end they close one after another: the hang is when there are most.
                sessions = max(now, sessions, key=len)
                await asyncio.wait([talk], timeout=0.1)
            found = await talk
        finally:
            talk.cancel()
        rows = await asyncio.to_thread(monitor.rows, _DEADLOCKS)
    deadlocks, through = count(rows[0][0], "deadlock"), "a wait that goes through your loop"
    one_loop, seen = "that it is one loop", meanwhile(sessions).strip(" .") or "no session"
    return opinions(
        found.cpu_graph("that it will be idle for good"),
        found.debug_mode("-", "a callback that never ends: it speaks afterwards"),
        await linter(LESSON, "-", "that it is a driver"),
        found.stack_dump("why it waits", "02_sync_database.py"),
        Opinion("deadlock detector", "pg_stat_database", deadlocks, "-", through),
        Opinion("PostgreSQL's sessions", "pg_stat_activity", seen, "who has what", one_loop),
        of_scope(stall, "who has the connections"),
    )


# The race.


async def measure(
    rung: Rung, *, dsn: str, seconds: float = 1.0, size: int = CONNECTIONS
) -> dict[str, float]:
    """Measure one rung: `size` tasks repeat a query of 20 ms."""
    threads = 0

    async def send() -> str:
        nonlocal threads
        await rung(pool, _SLOW)
        threads = max(threads, threading.active_count())
        await asyncio.sleep(0)  # a rung that blocks never gives the loop back by itself
        return ""

    async with opened(rung, dsn, size) as pool:
        await asyncio.gather(*(rung(pool, _SLOW) for _ in range(size)))
        with Probe() as probe:
            rate = (await closed_loop(send, size, seconds=seconds))["throughput"]
            report = probe.report()
    return {
        "rate": rate,
        "share": rate * LATENCY / size,
        "lag": report.lag.p99,
        "stall": max((one.seconds for one in report.stalls), default=report.lag.max),
        "threads": threads,
    }


def _bound(found: Result) -> tuple[float, str]:
    bound = found.given.get("size", CONNECTIONS) / LATENCY
    return bound, f"The bound is connections / latency = {bound:.0f} queries/s."


def _claim(found: Result) -> str:
    """Say whether a thread pool is as good as the native driver."""
    if not {"on_threads", "native"} <= {one.name for one in found.runners}:
        return ""
    threads, native = (found[name].spread("rate") for name in ("on_threads", "native"))
    ratio = found["native"].typical("rate") / found["on_threads"].typical("rate")
    did = f"the native driver did {ratio:.2f} times as much"
    if native[0] > threads[1]:
        verdict = f"it cures the stalls, but {did} in every round."
    elif threads[0] > native[1]:
        verdict = f"for throughput, yes: {did}. Cancellation tells them apart."
    else:
        verdict = f"for throughput, yes ({ratio:.2f} times as much with the native one). Cancellation tells them apart."
    return f"Is a thread pool as good as an async driver? Here, {verdict}"


race = Race(
    measure,
    columns=(
        Column("Queries/s", "rate", spread=True),
        Column("Of the bound", "share", "{:.0%}".format),
        Column("Lag p99", "lag", span),
        Column("Longest stall", "stall", span),
        Column("Threads", "threads"),
    ),
    costs=COSTS,
    bound=_bound,
    good=lambda one: one.typical("lag") < 0.05,  # a stall
    sentence=_claim,
)
"""`race(*rungs, dsn=...)` runs each in a process of its own, `size` tasks at once, in turns."""


async def losses(dsn: str) -> Drawing:
    """Measure what a unit of work takes beyond PostgreSQL's own time. About three seconds."""

    async def typical(query: str, connection: Any = None, at_once: int = 1) -> float:
        async def send() -> str:
            async with nullcontext(connection) if connection else pool.acquire() as one:
                if query:
                    await one.execute(query)
            return ""

        return float((await closed_loop(send, at_once, seconds=0.6, warm_up=0.1))["p50"])

    async with asyncpg.create_pool(dsn, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        async with pool.acquire() as held:
            alone, trip = await typical(_SLOW, held), await typical("select 1", held)
        hand_over, at_once = await typical(""), await typical(_SLOW, at_once=CONNECTIONS)
    parts = (
        ("PostgreSQL asleep, as asked", LATENCY),
        ("its timer, and the way there and back", max(0.0, alone - LATENCY)),
        ("taking the connection and giving it back, with its reset query", hand_over),
        (f"taking turns: {CONNECTIONS} tasks, one loop", max(0.0, at_once - alone - hand_over)),
    )
    return table(
        ["", "Takes", ""],
        [[name, span(seconds), bar(seconds / at_once)] for name, seconds in parts],
        title=f"One unit of work takes {span(at_once)} instead of {span(LATENCY)}, which leaves "
        f"{LATENCY / at_once:.0%} of the bound. A bare round trip takes {span(trip)}.",
    )
