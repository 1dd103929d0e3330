"""Experiments of notebook 03: webhooks lost in a deploy, bridges that fail, a benchmark."""

import asyncio
import contextlib
import itertools
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Any, NamedTuple

import asyncpg
import psutil

from loopclinic.drawing.charts import COLORS, Series, Strip, scale, strips
from loopclinic.drawing.tables import Cell, Drawing, Drawn, code, colored, span, table
from loopclinic.lessons.core.check_threads import entered
from loopclinic.lessons.database.sessions import named
from loopclinic.lessons.flask_bridge import LESSON
from loopclinic.lessons.flask_bridge.bridge_servers import THREADS, Way, all_served, served
from loopclinic.lessons.flask_bridge.ladder import COSTS, SIZE, record
from loopclinic.lessons.flask_bridge.standstill import standstill  # noqa: F401 - the notebook's
from loopclinic.lessons.flask_bridge.webhooks import (
    DEMO_SECRET,
    LOST,
    Ledger,
    Provider,
    Webhook,
    draw,
    lay_out,
)
from loopclinic.lessons.story.kernel_database import KernelDatabase
from loopclinic.lessons.story.other_tools import Opinion, linter, opinions
from loopclinic.lessons.story.prediction import Prediction
from loopclinic.lessons.story.race import Column, Race, Result
from loopclinic.lessons.story.stalled import named_after
from loopclinic.lessons.story.sweep import closed_loop
from loopclinic.load.variant import name_of
from loopclinic.load.vitals import percentile
from loopclinic.probe import Probe
from loopclinic.servers.server_process import ServerError
from loopclinic.servers.wsgi import WsgiServer
from loopclinic.units import count

RATE = 150.0
"""Webhooks a second."""
_STORED, _LATER = 204, 503
_AFTER = 0.1
"""Seconds for which the provider goes on after SIGTERM: it does not know of it."""
_GRACE = 5.0
_MIGRATION = 0.15
"""Seconds before SIGTERM for which a deploy's migration has held the table; afterwards twice as long at most."""
_EVERY = 0.04
_AT_ONCE = 500
"""Webhooks that are drawn at a time."""
_UPDATE = {"id": "upd-two-loops", "message": 1, "status": "sent"}

deliveries = KernelDatabase("deliveries", lay_out).address
"""`await deliveries()` gives the address of a database with messages and updates."""


# A server over time.


class Sample(NamedTuple):
    """One look: seconds since it began, threads beyond those at the first look, connections."""

    at: float
    threads: int
    connections: int


@contextlib.contextmanager
def watched(pid: int | None, dsn: str, name: str) -> Iterator[list[Sample]]:
    """Look at a process and at its sessions of this name, until the block or the process ends.

    From outside: a process that is busy with what it started is slow to say how much that is.
    """
    samples: list[Sample] = []
    over, began = threading.Event(), time.perf_counter()

    def look() -> None:
        with contextlib.suppress(psutil.Error), Ledger(dsn) as ledger:
            process = psutil.Process(pid)
            own = process.num_threads()
            while not over.is_set():
                # Before it is waited for, a process that has ended has one thread.
                threads = max(0, process.num_threads() - own)
                links = ledger.count(name).open
                samples.append(Sample(time.perf_counter() - began, threads, links))
                over.wait(_EVERY)

    thread = threading.Thread(target=look, name="watch", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join(5)


def _most(samples: list[Sample]) -> Sample:
    """Return the most of each."""
    return Sample(*map(max, zip(*samples, strict=True))) if samples else Sample(0.0, 0, 0)


# Deploys.


@dataclass(frozen=True, repr=False)
class Deploy(Drawn):
    """What became of the webhooks of one deploy: the provider's view, and the table's."""

    name: str
    sent: int
    promised: int
    """Answered 204."""
    lost: int
    """Of these, not in the table when the process was gone."""
    put_off: int
    """Answered 503, or found nobody: the provider sends it again."""
    failed: int
    """Answered otherwise, or not at all."""
    seconds: float
    """From SIGTERM to the end of the process."""
    terminated: float
    """Seconds from the first webhook to SIGTERM."""
    threads: int
    """The most at once, beyond those at the first look."""
    connections: int
    series: list[Sample]

    @property
    def made(self) -> str:
        """The most threads and connections, in words."""
        return f"{count(self.threads, 'thread')} and {count(self.connections, 'connection')}"

    def drawing(self) -> Drawing:
        """Draw what was sent and answered; a page tells what was lost where it is set against a guess."""
        said = f"{self.name}: {self.promised} of {self.sent} webhooks answered 204, {self.lost} of these "
        said += f"lost, {self.put_off} put off, {self.failed} failed; up to {self.made}; gone "
        page = (
            f"{self.sent} webhooks were sent, {self.promised} were answered 204. After SIGTERM the "
        )
        page += f"server was gone within {span(self.seconds)}; {self.put_off} got no answer and will be sent again."
        return Drawing(Drawing.note(page).html, f"{said}{span(self.seconds)} after SIGTERM.")

    def against(self, guess: Prediction) -> Drawing:
        """Set what was lost against a guess, and draw threads and connections over time."""
        what = f"in no table, of {self.promised} that were answered 204"
        none = Drawing.note(f"This time, none is {what}: run the cell above again.")
        head = guess.against(self.lost, what) if self.lost else none
        words = f"Up to {self.made}, for webhooks that need one of each "
        words += "for a few milliseconds. The provider's log: 204, 204, 204."
        return head + Drawing.note(words) + self._over_time()

    def _over_time(self) -> Drawing:
        """Draw threads and connections, with a line where SIGTERM came."""
        if not self.series:
            return Drawing.note("The server was gone before it could be asked.")
        ends = 1.02 * max(self.series[-1].at, self.terminated)
        words = f"Threads grow to {self.threads} and connections to "
        words += f"{self.connections} until SIGTERM after {span(self.terminated)}."

        def strip(title: str, column: int, color: str) -> Strip:
            top = max(4, *(one[column] for one in self.series))
            points = [(one.at, one[column]) for one in self.series]
            line = Series(points, COLORS[color], steps=True)
            return Strip(title, [line], 1.08 * top, ticks=scale(top, 3))

        svg = strips(
            [strip("threads, of its own making", 1, "refused"), strip("connections", 2, "blue")],
            low=0.0,
            high=ends,
            ticks=scale(ends, 8),
            label="seconds",
            marks=[(self.terminated, "SIGTERM")],
            title=words,
        )
        return Drawing(svg, words)


async def deploy(way: Way, dsn: str, **how: Any) -> Deploy:
    """Send webhooks for `seconds`; in the middle of them comes a deploy: a migration, then SIGTERM."""
    return (await deploys(way, dsn=dsn, **how))[0]


async def deploys(*ways: Way, dsn: str, **how: Any) -> list[Deploy]:
    """Run `deploy` for several ways, one after another; their servers start side by side.

    `rate` webhooks a second are sent for `seconds`, drawn with `seed`. The provider has a loop of its own, on
    a thread: its work is not the reader's to find in a scope.
    """

    async def one_by_one() -> list[Deploy]:
        async with all_served(*ways, dsn=dsn, grace=_GRACE) as servers:
            return [await _deploy(server, name_of(way), dsn, **how) for way, server in servers]

    return await asyncio.to_thread(asyncio.run, one_by_one())


async def _deploy(
    server: WsgiServer,
    name: str,
    dsn: str,
    *,
    rate: float = RATE,
    seconds: float = 1.5,
    seed: int = 3,
) -> Deploy:
    rng = Random(seed)  # noqa: S311 - webhooks, not secrets
    webhooks = draw(rng, round(rate * (seconds + _AFTER)), secret=DEMO_SECRET, label=name)

    async def deployed() -> float:
        """Migrate, send SIGTERM, and return how long the server took to end."""
        await asyncio.sleep(seconds - _MIGRATION)
        async with entered(ledger.migrating()):
            await asyncio.sleep(_MIGRATION)
            server.terminate()
            terminated = time.perf_counter()
            # A server that waits for nothing is gone before the table is free, however slow the machine.
            with contextlib.suppress(ServerError):
                gone = await server.ended(2 * _MIGRATION)
                if not gone and await server.phase_async() == "closed":
                    await server.ended(_GRACE)
        await server.ended(_GRACE)
        return time.perf_counter() - terminated

    with await asyncio.to_thread(Ledger, dsn) as ledger:
        await asyncio.to_thread(ledger.clear)
        async with (
            Provider(server.url, timeout=_GRACE) as provider,
            entered(watched(server.pid, dsn, name)) as series,
            asyncio.TaskGroup() as both,
        ):
            deploying = both.create_task(deployed())
            sent = await provider.paced(webhooks, rate)
        await asyncio.sleep(0.3)  # what PostgreSQL has already, it carries out
        promised = {one.webhook.id for one in sent if one.status == _STORED}
        stored = await asyncio.to_thread(ledger.stored, promised)
    await server.close_async()
    put_off, most = sum(one.status in (_LATER, LOST) for one in sent), _most(series)
    return Deploy(
        name=name,
        sent=len(sent),
        promised=len(promised),
        lost=len(promised - stored),
        put_off=put_off,
        failed=len(sent) - len(promised) - put_off,
        seconds=deploying.result(),
        terminated=seconds,
        threads=most.threads,
        connections=most.connections,
        series=series,
    )


async def score(*ways: Way, dsn: str, seconds: float = 0.8) -> Drawing:
    """Deploy each way under the same load; the fewest lost wins. About two seconds each."""
    counts = ("204", "Lost", "Put off", "Failed", "Threads", "Connections")
    rows = []
    for one in await deploys(*ways, dsn=dsn, seconds=seconds):
        lost = colored(f"{one.lost}", "stall" if one.lost else "calm")
        others = map(str, (one.put_off, one.failed, one.threads, one.connections))
        way = code(one.name, COSTS.get(one.name, ""))
        rows.append([way, f"{one.promised}", lost, *others, span(one.seconds)])
    return table(
        ["Deploy under load", *counts, "Gone after"],
        rows,
        note=f"{RATE:.0f} webhooks a second for {span(seconds)}, and for a moment after SIGTERM; a migration "
        f"holds their table from {span(_MIGRATION)} before SIGTERM. Put off: answered 503 or not at "
        "all, so the provider sends it again. Threads and connections: the most at once.",
    )


# Diagnosis.


async def diagnose(run: Deploy, dsn: str) -> Drawing:
    """Ask each tool about a deploy that just was; about a second."""
    sessions = await asyncio.to_thread(_sessions, dsn)
    statuses = f"{run.promised} x 204, {count(run.failed, 'error')} other than 503"
    threads = f"up to {count(run.threads, 'thread')} of its own making"
    dies, cut = "what dies with them", "a session for each webhook, and those cut off"
    rows, list_ = "ids answered 204, less rows", "why: it needs the provider's list"
    missing, loss = f"{run.lost} missing", "the loss, and which ones"
    return opinions(
        Opinion("the access log", "status codes", statuses, "-", "what a 204 is worth"),
        await linter(LESSON, "-", "threads"),
        Opinion("the process", "threading.active_count()", threads, "that the count climbs", dies),
        Opinion("PostgreSQL", "pg_stat_database", sessions, cut, "which updates these were"),
        Opinion("a reconciliation", rows, missing, loss, list_),
    )


def _sessions(dsn: str) -> str:
    with Ledger(dsn) as ledger:
        try:
            total, cut = ledger.statistics()
        except Exception as error:  # an older server has no such columns
            return f"{type(error).__name__}"
    return f"{count(total, 'session')} so far, {cut} abandoned by their client"


# Bridges that fail: a pool under another loop, and a wait on the loop's own thread.


async def two_loops(dsn: str) -> Drawing:
    """Make a pool under one loop, use it under another, on a thread; quote what is raised."""

    async def make() -> Any:
        return await asyncpg.create_pool(dsn, min_size=1, max_size=1)

    def elsewhere() -> str:
        with asyncio.Runner() as first, asyncio.Runner() as second:
            # What it says in passing, at the end, is no more than what is raised.
            first.get_loop().set_exception_handler(lambda *_: None)
            pool = first.run(make())
            try:
                second.run(record(pool, _UPDATE))
            except Exception as error:
                root: BaseException = error
                while root.__context__ is not None:  # the later ones come of tidying up
                    root = root.__context__
                return f"{type(root).__name__}: {root}"
            finally:
                with contextlib.suppress(Exception):
                    pool.terminate()
                first.run(asyncio.sleep(0.05))
        return "no error"

    raised = await asyncio.to_thread(elsewhere)
    raised = re.sub(r"<Task .*?coro=<(\w+\(\)).*?>(?= got)", r"<Task \1 ...>", raised)
    raised = re.sub(r"<Future .*?>(?= attached)", "<Future ...>", raised)
    said = "A pool's connections report to the loop they were made on. Used under a second one, it raises:"
    return _quoted(said, raised)


async def own_loop(call: Any) -> Drawing:
    """Call `call()` on the running loop; say how long it stood there, and how that ended."""
    with Probe() as probe:
        try:
            await call()
            ended = "no error"
        except Exception as error:
            ended = f"{type(error).__name__}: {error}".rstrip(": ")
        await asyncio.sleep(0)
        worst = max(probe.stalls, key=lambda one: one.seconds, default=None)
    if worst is None:
        return Drawing.note(f"The loop was not stuck: {ended}.")
    said = f"The loop was stuck for {span(worst.seconds)} at {worst.where}{named_after(worst)}: it waited for "
    said += "work that only it could do. Without a timeout it would wait forever. It ended by "
    return _quoted(f"{said}{ended}.", worst.code or "")


def _quoted(words: str, quoted: str) -> Drawing:
    both = Cell("") + f"{words}\n" + code(quoted)
    return Drawing(f"<p>{both.html}</p>", both.text.replace("\n", " ").rstrip())


# The race.

_NUMBERS = itertools.count()
_SERVERS: dict[str, WsgiServer] = {}
"""The server that this process loads; it is kept from round to round, and ends with it."""


def record_alone(dsn: str) -> None:
    """Call `record` over one pool, without any web server: the bound of a race."""


async def measure(way: Way, *, dsn: str, seconds: float, rate: float | None) -> dict[str, float]:
    """Measure one way: serve it in a process of its own, and load it from this one."""
    name = name_of(way)
    # What is stored already costs less: each round brings webhooks of its own.
    webhooks = _fresh(f"{name}-{os.getpid()}-{next(_NUMBERS)}")
    if name == record_alone.__name__:
        async with asyncpg.create_pool(dsn, min_size=SIZE, max_size=SIZE) as pool:

            async def store() -> str:
                await record(pool, next(webhooks).update)
                return ""

            point = await closed_loop(store, THREADS, seconds=seconds)
        most = Sample(seconds, 0, SIZE)
    else:
        if name not in _SERVERS:
            _SERVERS[name] = await served(way, named(dsn, name)).start_async()
        server = _SERVERS[name]
        watch = entered(watched(server.pid, dsn, name))
        async with Provider(server.url) as provider, watch as samples:

            async def send() -> str:
                status = (await provider.one(next(webhooks))).status
                return "" if status == _STORED else str(status)

            if rate is None:
                point = await closed_loop(send, THREADS, seconds=seconds)
            else:
                point = await _paced(provider, webhooks, rate, seconds)
        most = _most(samples)
    figures = {"rate": point["throughput"], "p99": point["p99"], "failed": point["failed"]}
    return {**figures, "threads": most.threads, "connections": most.connections}


async def _paced(
    provider: Provider, webhooks: Iterator[Webhook], rate: float, seconds: float
) -> dict[str, float]:
    await provider.many(itertools.islice(webhooks, THREADS), at_once=THREADS)
    began = time.perf_counter()
    sent = await provider.paced(list(itertools.islice(webhooks, round(rate * seconds))), rate)
    times = sorted(one.seconds for one in sent if one.status == _STORED)
    rate = len(times) / (time.perf_counter() - began)
    return {
        "throughput": rate,
        "p99": percentile(times, 0.99),
        "failed": 1 - len(times) / len(sent),
    }


def _fresh(label: str) -> Iterator[Webhook]:
    rng = Random(label)  # noqa: S311 - webhooks, not secrets
    for number in itertools.count():
        yield from draw(rng, _AT_ONCE, secret=DEMO_SECRET, label=f"{label}-{number}")


def _sentence(found: Result) -> str:
    """Say how the bridge compares to a loop for each request."""
    if not {"LoopPerRequest", "DrainedBridge"} <= {one.name for one in found.runners}:
        return ""
    rates = sorted(found.times("rate", "DrainedBridge", "LoopPerRequest"))
    tails = sorted(found.times("p99", "DrainedBridge", "LoopPerRequest"))
    tail, spread = f"{median(tails):.0%}", f"({tails[0]:.0%} to {tails[-1]:.0%})"
    if (rate := found.given["rate"]) is not None:
        return f"At {rate:.0f} webhooks a second for both, the bridge's p99 is {tail} of the other's {spread}."
    said = f"With the same eight threads, the bridge answers {median(rates):.1f} times as many webhooks a second as "
    return f"{said}a loop for each request ({rates[0]:.1f} to {rates[-1]:.1f}); its p99 is {tail} of the other's {spread}."


def _bound(found: Result) -> tuple[float, str]:
    load = f"{THREADS} webhooks in flight at a time"
    if (rate := found.given["rate"]) is not None:
        load = f"{rate:.0f} webhooks a second"
    return found[record_alone.__name__].typical("rate"), f"{load}; threads beyond those at rest."


_RACE = Race(
    measure,
    columns=(
        Column("Webhooks/s", "rate", spread=True),
        Column("p99", "p99", span),
        Column("Failed", "failed", "{:.0%}".format, most=True),
        Column("Threads", "threads", most=True),
        Column("Connections", "connections", most=True),
    ),
    costs=COSTS,
    bound=_bound,
    good=lambda one: one.spread("connections")[1] <= THREADS / 2,
    sentence=_sentence,
    warm_up={"seconds": 0.1},
)


def race(
    *ways: Way,
    dsn: str,
    rounds: int = 3,
    seconds: float = 0.8,
    rate: float | None = None,
    progress: bool = True,
) -> Result:
    """Load each way in turns, from a process of its own; last, `record` alone as the bound.

    Each thread of the server has a webhook all the time; or `rate` of them come a second, whether or
    not earlier ones were answered.
    """
    given = {"dsn": dsn, "seconds": seconds, "rate": rate}
    return _RACE(*ways, record_alone, rounds=rounds, progress=progress, **given)
