"""Experiments of notebook 12: patches on each Python, tasks of a real worker, calls on a running loop, a benchmark."""

import asyncio
import inspect
import re
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import asgiref.sync
from celery import Celery

from loopclinic.drawing.tables import Drawing, Drawn, bold, code, colored, table
from loopclinic.lessons.database.sessions import SessionMonitor, Sighting, named
from loopclinic.lessons.loop_boundaries import celery_worker, ladder
from loopclinic.lessons.loop_boundaries.celery_worker import THREADS, CeleryWorker
from loopclinic.lessons.loop_boundaries.ladder import COSTS, SIZE, Run, one_loop
from loopclinic.lessons.story.asyncio_patches import PATCHES, tried
from loopclinic.lessons.story.other_tools import Opinion, linter, opinions
from loopclinic.lessons.story.race import Column, Race, Result
from loopclinic.lessons.story.race_worker import worker
from loopclinic.load.variant import name_of
from loopclinic.scanner import scan
from loopclinic.servers import SERVICES, ServerProcess
from loopclinic.units import count, span

Way = Callable[[str], Run]
Begin = Callable[[str], Callable[[], "Future[Any]"]]
"""Given an address, returns what sends a task, and gives the future of its loop's number."""

_PLAIN, _TRIED = (
    ("nested_run", "current", "deadline"),
    ("nested_run", "frames", "order", "current", "deadline"),
)
_PYTHONS = ("python3.15", "python3.14")
"""The newest of these that is there runs the patches, too: the first one was written before 3.14."""
_PATIENCE = 10.0
"""Seconds for tasks of a way, at least; what waits for another loop may wait for ever."""
_PREFORKED = 1.5
"""Seconds for tasks of a rung in a worker that forks."""
_COUNTED = 0.2
"""Seconds in which PostgreSQL counts a session that has just made its first query."""
_NAMES = r"<.*>|'ThreadPool[^']*'\.?"

# Patches, each in a process of its own.


async def patches() -> Drawing:
    """Try both patches, on this Python and on a newer one where there is one."""
    pythons = [sys.executable]
    if sys.version_info < (3, 14):
        # loopclinic: ignore[blocking-file-io] a look along PATH
        pythons += [one for name in _PYTHONS if (one := shutil.which(name))][:1]
    rows = []
    for python in pythons:
        for name in ("", *PATCHES):
            # What nests does so only with a patch.
            found = await tried(name, *(_TRIED if name else _PLAIN), python=python)
            patch = f"{name}.apply()" if name else "plain"
            short = (str(found.get(one, "-")).partition(":")[0] for one in _TRIED)
            rows.append([bold(found["python"], patch), *map(code, short)])
    if len(pythons) == 1 and sys.version_info < (3, 14):
        rows.append([bold("3.14 or newer", "not tried: this computer has none"), *"-----"])
    heads = ["Python, and what runs first", "asyncio.run, nested", "Frames of 10 such calls"]
    heads += ["A short call ends", "current_task()", "timeout()"]
    return table(heads, rows)


# Tasks of a real worker, by way.


def _measured(name: str, begin: Begin, dsn: str, tasks: int, patience: float) -> dict[str, Any]:
    """Send so many tasks to a worker, each of which gives its loop; ask PostgreSQL what they opened. Blocking."""
    errors = Counter[str]()
    with ExitStack() as stack:
        sighting, address = Sighting(), ""
        if dsn:
            monitor = stack.enter_context(SessionMonitor(dsn, "story", unnamed=True))
            monitor.look()
            time.sleep(_COUNTED)
            sighting, address = stack.enter_context(monitor.watch("tasks")), named(dsn, "tasks")
            stack.callback(monitor.end, "tasks", within=1.0)
        send, began = begin(address), time.perf_counter()
        futures = [send() for _ in range(tasks)]
        done, waiting = wait(futures, patience)
        seconds = time.perf_counter() - began
    loops = {one.result() for one in done if one.exception() is None}
    for error in filter(None, (one.exception() for one in done)):
        # Without the names of task, future and thread, which are other ones in each.
        errors[f"{type(error).__name__}: {re.sub(_NAMES, '...', str(error))}"] += 1
    late = ["some were not done in time"] * bool(waiting)
    return {
        "name": name,
        "tasks": tasks,
        "done": len(done) - errors.total(),
        "error": "; ".join([text for text, _ in errors.most_common(2)] + late),
        "loops": len(loops),
        "opened": sighting.opened,
        "peak": sighting.peak,
        "per_task": seconds / tasks,
    }


async def measure(way: Way, *, broker: str, dsn: str, tasks: int) -> Mapping[str, Any]:
    """Measure a way in this process."""
    found = await measure_all(lambda: (way,), broker=broker, dsn=dsn, tasks=tasks)
    (run,) = found["runs"]
    return dict(run)


async def measure_all(
    ways: Callable[[], tuple[Way, ...]], *, broker: str, dsn: str, tasks: int
) -> Mapping[str, Any]:
    """Measure ways in this process, one after another, in one worker."""

    def run() -> list[dict[str, Any]]:
        with CeleryWorker(broker) as celery:

            def begin(address: str, way: Way) -> Callable[[], "Future[Any]"]:
                call = partial(way(address), ladder.asked)
                return lambda: celery.send(call).future

            patience = max(_PATIENCE, tasks / 25)
            return [
                _measured(name_of(it), partial(begin, way=it), dsn, tasks, patience)
                for it in ways()
            ]

    return {"runs": await asyncio.to_thread(run)}


async def preforked(*names: str, tasks: int = 16, processes: int = 4) -> "Runs":
    """Run tasks in rungs of these names, in a worker that forks so many processes, one rung after another."""
    return await asyncio.to_thread(_preforked, names, tasks, processes)


def _preforked(names: tuple[str, ...], tasks: int, processes: int) -> "Runs":
    with ExitStack() as stack:
        dsn, broker = _services(stack).values()
        results = f"file://{stack.enter_context(TemporaryDirectory())}"
        spec = {"broker": broker, "results": results, "processes": processes}
        spec |= {"early": dsn, "dsn": named(dsn, "tasks")}
        stack.enter_context(ServerProcess(celery_worker.__name__, spec, label="Celery's worker"))
        app = Celery("story", broker=broker, backend=results, set_as_current=False)
        threads = ThreadPoolExecutor(tasks)
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)

        def call(name: str) -> Any:
            return tuple(app.send_task("call", [name]).get(timeout=_PREFORKED, interval=0.02))

        def begin(_: str, name: str) -> Callable[[], "Future[Any]"]:
            return lambda: threads.submit(call, name)

        found = [_measured(it, partial(begin, name=it), dsn, tasks, _PREFORKED + 1) for it in names]
        return Runs(tuple(found), f"A worker that forks {processes} processes")


@dataclass(frozen=True, repr=False)
class Runs(Drawn):
    """Tasks in several ways."""

    runs: tuple[Mapping[str, Any], ...]
    title: str = f"A worker with {THREADS} threads"
    database: bool = True

    @property
    def opened(self) -> int:
        """Connections that the first way opened."""
        return int(self.runs[0]["opened"])

    def drawing(self) -> Drawing:
        """Draw a row for each."""
        rows = []
        for one in self.runs:
            good = one["opened"] <= SIZE and not one["error"]
            opened = colored(f"{one['opened']:,}", "calm" if good else "stall")
            done = f"{one['done']:,} of {one['tasks']:,}"
            costs = COSTS.get(one["name"], "") if self.database else ""
            connections = [opened, f"{one['peak']}"] if self.database else []
            name, loops = code(one["name"], one["error"] or costs), f"{one['loops']:,}"
            rows.append([name, done, loops, *connections, span(one["per_task"])])
        heads = ["Connections opened", "At once"] if self.database else []
        heads = ["Way", "Tasks done", "Loops", *heads, "Time per task"]
        return table(heads, rows, title=self.title + ", no database" * (not self.database))


async def worked(*ways: Way, tasks: int = 200, database: bool = True) -> Runs:
    """Run tasks in each way, in a worker in a process of its own, one after another."""
    return await asyncio.to_thread(_worked, ways, tasks, database=database)


def _worked(ways: tuple[Way, ...], tasks: int, *, database: bool) -> Runs:
    def all_ways() -> tuple[Way, ...]:
        return ways

    with ExitStack() as stack:
        given = _services(stack) | {"tasks": tasks} | ({} if database else {"dsn": ""})
        process = stack.enter_context(worker(measure_all, all_ways))
        runs = tuple(process.call(given, timeout=120.0)["runs"])
        return Runs(runs, database=database)


def _services(stack: ExitStack) -> dict[str, Any]:
    """Start PostgreSQL and Valkey; return their addresses by what they are to `measure`."""
    names = {"dsn": "postgres", "broker": "valkey"}
    return {key: stack.enter_context(SERVICES[name]()) for key, name in names.items()}


# What happens on a running loop, and to an async task.


async def on_a_loop(*ways: Callable[[Any], Any]) -> Drawing:
    """Call each way where a loop runs, on a thread of its own, and see what it says and what else runs."""
    rows = []
    for way in ways:
        said, kept = await asyncio.to_thread(_on_a_loop, way)
        stopped = colored("stood still", "stall") if kept else colored("went on", "calm")
        rows.append([code(name_of(way)), code(said), stopped])
    return table(["Called in a coroutine", "It says", "Meanwhile the loop"], rows)


def _on_a_loop(way: Callable[[Any], Any]) -> tuple[str, bool]:
    """Return what a way says in a coroutine, and whether it kept the loop."""

    async def work() -> str:
        await asyncio.sleep(0.2)
        return "a result"

    async def main() -> tuple[str, bool]:
        began, coroutine = time.perf_counter(), work()
        try:
            said = f"returns {way(coroutine)!r}"
        except Exception as error:
            said = f"{type(error).__name__}: {error}".removesuffix(": ")
        kept = time.perf_counter() - began > 0.1
        coroutine.close()
        return said, kept

    return asyncio.run(main())


def threadsafe_result(coroutine: Any) -> Any:
    """Hand it to the loop that runs here, and wait for that: for itself."""
    loop = asyncio.get_running_loop()
    future = asyncio.run_coroutine_threadsafe(_awaited(coroutine), loop)
    try:
        return future.result(0.5)
    finally:
        future.cancel()


async def _awaited(coroutine: Any) -> Any:
    return await coroutine


def of_asgiref(coroutine: Any) -> Any:
    """Call it by the adapter of Django's."""
    return asgiref.sync.async_to_sync(_awaited)(coroutine)


def in_a_thread(coroutine: Any) -> Any:
    """Run it on another thread, and wait for that."""
    found = list[Any]()
    thread = threading.Thread(target=lambda: found.append(asyncio.run(_awaited(coroutine))))
    thread.start()
    thread.join()
    return found[0]


def adapter(coroutine: Any) -> Any:
    """Call it by the last rung, which refuses."""
    return one_loop("")(lambda _: coroutine)


def charges() -> Drawing:
    """Let Celery run an `async def` as a task, and renewals that fail after their charge, three retries each."""
    charged, known = list[int](), set[int]()
    app = Celery("story", set_as_current=False)
    app.conf.task_always_eager = True

    async def charge(order: int) -> None:
        charged.append(order)

    def renew(task: Any, order: int, once: bool = False) -> None:
        if not (once and order in known):
            charged.append(order)
        known.add(order)  # as the key that a payment service is given
        raise task.retry(exc=ConnectionError("no answer"), countdown=0)

    charging = app.task(charge, name="charge")
    renewal, rows = app.task(renew, bind=True, name="renew", max_retries=3), list[list[Any]]()
    for what, begin in (
        ("async def charge(order)", partial(charging.delay, 7)),
        ("renew, max_retries=3", partial(renewal.delay, 8)),
        ("renew, by a key for each order", partial(renewal.delay, 9, once=True)),
    ):
        charged.clear()
        done = begin()
        if inspect.iscoroutine(done.result):
            done.result.close()
        words, right = count(len(charged), "charge"), "calm" if len(charged) == 1 else "stall"
        kind = type(done.result).__name__
        rows.append([code(what), done.state, f"a {kind}", colored(words, right)])
    return table(["Task", "Its state, says Celery", "Its result", "What was done"], rows)


# Diagnosis and race.


async def diagnose(function: Callable[..., Any], file: str, runs: Runs) -> Drawing:
    """Ask tools about `function`, the scanner about `file`, PostgreSQL about what was run."""
    linted = await linter(function, "-", "what a task opens")
    report = await asyncio.to_thread(scan, file, cached=False)
    found = "\n".join(f"line {one.line}: {one.kind}" for one in report.findings)
    one = runs.runs[0]
    done, peak = f"{one['done']} x SUCCESS", f"at most {one['peak']}"
    counted = f"{one['opened']} opened, {one['peak']} at once"
    return opinions(
        Opinion("loopclinic scan", file, found or "nothing", "the line", "what it costs"),
        linted,
        Opinion("Celery's log", "its states", done, "failures", "the cost of success"),
        Opinion("pg_stat_activity", "at one moment", peak, "those open", "those that are gone"),
        Opinion("pg_stat_database", "sessions", counted, "all of them", "whose they are"),
    )


def _sentence(found: Result) -> str:
    said = (f"{one.name} opened {one.typical('opened'):,.0f}" for one in found.runners)
    return f"Connections for the same {found.given['tasks']} tasks: {', '.join(said)}."


_RACE = Race(
    measure,
    columns=(
        Column("Connections opened", "opened", "{:,.0f}".format),
        Column("Loops", "loops", "{:,.0f}".format),
        Column("At once", "peak", "{:.0f}".format, most=True),
        Column("Time per task", "per_task", span, spread=True),
    ),
    costs=COSTS,
    bound=lambda _: (SIZE, f"One pool of {SIZE} is enough for all tasks of a process."),
    sentence=_sentence,
    good=lambda one: one.typical("opened") <= SIZE,
)


def race(*ways: Way, tasks: int = 200, rounds: int = 2, progress: bool = True) -> Result:
    """Let each way run so many tasks, by 16 threads of a worker in a process of its own, in turns."""
    with ExitStack() as stack:
        given = _services(stack) | {"tasks": tasks}
        return _RACE(*ways, rounds=rounds, progress=progress, **given)
