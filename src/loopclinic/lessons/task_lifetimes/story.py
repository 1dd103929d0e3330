"""Experiments of notebook 11: who holds a task, a bot that is restarted, two taps, clean-ups, a framework's stop."""

import asyncio
import json
import logging
import re
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from telegram import Update
from telegram.ext import Application, BaseUpdateProcessor, MessageHandler, filters

from loopclinic.drawing.tables import Drawing, Drawn, bar, code, colored, span, table
from loopclinic.lessons.schedules.search import Schedule, in_virtual_time
from loopclinic.lessons.story.other_tools import Opinion, debug_run, linter, opinions, scanned
from loopclinic.lessons.story.race import Column, Race, Result
from loopclinic.lessons.story.race_worker import worker
from loopclinic.lessons.task_lifetimes.bot import ON_IT, SORRY, Way
from loopclinic.lessons.task_lifetimes.bot_api import BotApi
from loopclinic.lessons.task_lifetimes.ladder import COSTS
from loopclinic.load.by_value import pack_value
from loopclinic.load.variant import name_of
from loopclinic.probe import garbage
from loopclinic.units import count

# Who holds a task.

_EAGER = hasattr(asyncio, "eager_task_factory")  # Python 3.12 and newer
HOLDERS = {
    "a timer": "the loop's timers",
    "a thread": "the thread's job",
    "a socket, by loop.sock_recv": "the loop's selector",
    "a socket, by a StreamReader": "nobody: its protocol refers to it weakly",
    "a queue that only it knows": "nobody",
    "a reply; the customer taps twice": "a dict, for the second tap only",
}
"""What a task that nobody keeps may wait for, and what holds it then."""


async def measure_held(way: None, *, tasks: int, eager: bool) -> Mapping[str, int]:
    """Start so many tasks for each thing to wait for, collect garbage, and return how many are left."""
    del way
    loop, over = asyncio.get_running_loop(), threading.Event()
    replies: dict[int, asyncio.Future[str]] = {}
    peers: list[socket.socket] = []
    if eager:
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]

    def connection() -> socket.socket:
        mine, other = socket.socketpair()
        mine.setblocking(False)
        peers.append(other)
        return mine

    async def read() -> None:
        reader, _writer = await asyncio.open_connection(sock=connection())
        await reader.read()

    async def reply(number: int) -> None:
        replies[number // 2] = loop.create_future()
        await replies[number // 2]

    waits: tuple[Callable[[int], Coroutine[Any, Any, Any]], ...] = (
        lambda _: asyncio.sleep(60),
        lambda _: asyncio.to_thread(over.wait),
        lambda _: loop.sock_recv(connection(), 1),
        lambda _: read(),
        lambda _: asyncio.Queue[None]().get(),
        reply,
    )
    started = [WeakSet(asyncio.create_task(wait(n)) for n in range(tasks)) for wait in waits]
    await asyncio.sleep(0.2)
    garbage.collect()
    found = dict(zip(HOLDERS, map(len, started), strict=True))
    over.set()
    return found


@dataclass(frozen=True, repr=False)
class Held(Drawn):
    """How many of `tasks` of each kind were left after garbage was collected, by what they waited for."""

    tasks: int
    left: Mapping[str, int]
    eager: Mapping[str, int] | None
    """The same with eager tasks, where Python has them."""

    @property
    def total(self) -> int:
        """How many were left in all."""
        return sum(self.left.values())

    def drawing(self) -> Drawing:
        """Draw a row for each kind."""
        heads = ["A task that awaits", "is held by", f"Left of {self.tasks}"]
        heads += ["with eager tasks"] * (self.eager is not None)
        rows = []
        for kind, left in self.left.items():
            color = "calm" if left == self.tasks else "stall"
            rows.append([kind, HOLDERS[kind], bar(left / self.tasks, color, words=f"{left}")])
            rows[-1] += [f"{self.eager[kind]}"] if self.eager is not None else []
        return table(heads, rows)


async def who_holds(tasks: int = 40) -> Held:
    """Start tasks that nobody keeps, in a process of their own, and collect garbage once."""
    counts = []
    for eager in (False, True) if _EAGER else (False,):
        async with await asyncio.to_thread(worker, measure_held) as process:
            counts.append(await process.call_async({"tasks": tasks, "eager": eager}))
    return Held(tasks, counts[0], counts[1] if _EAGER else None)


@contextmanager
def asyncio_log(name: str = "asyncio") -> Iterator[list[str]]:
    """Collect what asyncio logs, or the logger `name`, first lines only, instead of printing it."""
    lines: list[str] = []
    handler, logger = logging.Handler(), logging.getLogger(name)
    handler.emit = lambda record: lines.extend(record.getMessage().splitlines()[:1])  # type: ignore[method-assign]
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


# A bot that is restarted.

_EVERY = 0.05  # seconds between two prints while the bot stops
_SETTLES = 0.2  # seconds in which the last error is logged
_LOGGED = re.compile(r"^(\d+\.\d+) .*(?:never retrieved|failed: |No error handlers)", re.MULTILINE)
_STARTS = 60.0  # seconds in which the bot has answered everybody


async def measure(way: Way, *, customers: int = 30, patience: float = 4.0) -> Mapping[str, float]:
    """Let a bot print for customers, send it SIGTERM when half of the prints are done, and return what became.

    What is not over `patience` seconds later is killed, as platforms do.
    """
    command, pipe = (sys.executable, "-m", f"{__package__}.bot"), asyncio.subprocess.PIPE
    packed = await asyncio.to_thread(pack_value, way, name_of(way))
    async with BotApi() as api:
        for customer in range(1, customers + 1):
            api.say(customer)
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stderr=pipe)
        order = json.dumps({"url": api.url, "way": packed}).encode()
        ended = asyncio.create_task(process.communicate(order))
        try:
            await asyncio.wait_for(api.has_sent(customers), _STARTS)  # each has heard "On it."
            await api.print_some(customers // 2)
            await asyncio.wait_for(api.has_sent(customers + customers // 2), _STARTS)
            await asyncio.sleep(_SETTLES)
            failed = sum(text == SORRY for _, text in api.sent)
            api.keep_printing(_EVERY)
            at, began = time.time(), time.perf_counter()
            process.send_signal(signal.SIGTERM)
            await asyncio.wait([ended], timeout=patience)
            seconds = time.perf_counter() - began
        finally:
            if killed := process.returncode is None:
                process.kill()
            _, errors = await ended
    logged = [float(one) for one in _LOGGED.findall(errors.decode())]
    in_time = sum(one < at for one in logged)
    heard = sum(text != ON_IT for _, text in api.sent)
    found = {"customers": customers, "heard": heard, "failed": failed, "in time": in_time}
    return {**found, "late": len(logged) - in_time, "seconds": seconds, "killed": killed}


async def restart(*ways: Way, customers: int = 60, patience: float = 4.0) -> Drawing:
    """Restart a bot in the middle of its work, once for each way to start a job."""
    rows = []
    for way in ways:
        found = await measure(way, customers=customers, patience=patience)
        lost, failed = customers - int(found["heard"]), int(found["failed"])
        in_time, late = int(found["in time"]), int(found["late"])
        unheard = colored(f"{lost} of {customers}", "stall" if lost else "calm")
        log = colored(f"{in_time} of {failed}", "calm" if in_time >= failed else "stall")
        ended = f"after {span(patience if found['killed'] else found['seconds'])}"
        ended = "killed " * bool(found["killed"]) + ended
        rows.append([code(name_of(way)), unheard, log, f"{late}", ended])
    heads = [
        "A job is",
        "Heard nothing more",
        "Errors logged before SIGTERM",
        "After it",
        "Stopped",
    ]
    return table(
        heads,
        rows,
        title="SIGTERM, when half of the prints are done. Jobs that it ends may log errors, too.",
    )


# Two taps on one button.


@asynccontextmanager
async def bot_at_work(
    concurrent: Any = False,
) -> AsyncIterator[tuple["Application[Any, Any, Any, Any, Any, Any]", BotApi]]:
    """Give a bot in this process, and the server that it asks."""
    async with BotApi() as api:
        builder = Application.builder().token("1:none").base_url(api.url).updater(None)
        async with builder.concurrent_updates(concurrent).build() as app:
            yield app, api


class PerUser(BaseUpdateProcessor):  # type: ignore[misc,unused-ignore]
    """Processes updates of different users at once, those of one user one after the other."""

    def __init__(self) -> None:
        super().__init__(max_concurrent_updates=256)
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def do_process_update(self, update: object, coroutine: Awaitable[Any]) -> None:
        """Process an update when those before it of the same user are over."""
        user = getattr(update, "effective_user", None)
        async with self._locks.setdefault(user.id if user else 0, asyncio.Lock()):
            await coroutine

    async def initialize(self) -> None:
        """Do nothing."""

    shutdown = initialize


async def two_taps(*processors: Any, customers: int = 10, slow: float = 0.05) -> Drawing:
    """Let each customer tap twice on a button that opens an account; opening one takes `slow` seconds."""
    rows = []
    for processor in processors:
        accounts, last = await _tap_twice(processor, customers, slow)
        words = repr(processor) if isinstance(processor, bool) else f"{type(processor).__name__}()"
        opened = colored(f"{accounts}", "calm" if accounts == customers else "stall")
        rows.append([code(words), opened, span(last)])
    title = f"{customers} customers tap twice. Opening an account takes {span(slow)}."
    return table(["concurrent_updates", "Accounts", "The last answer after"], rows, title=title)


async def _tap_twice(processor: Any, customers: int, slow: float) -> tuple[int, float]:
    """Return how many accounts were opened, and after how many seconds the last answer came."""
    accounts: list[int] = []

    async def on_tap(update: Update, _: object) -> None:
        user = update.effective_user
        assert user is not None
        if user.id not in accounts:
            await asyncio.sleep(slow)
            accounts.append(user.id)

    async with bot_at_work(processor) as (app, api):
        app.add_handler(MessageHandler(filters.ALL, on_tap))
        await app.start()
        began = time.perf_counter()
        for customer in [*range(1, customers + 1)] * 2:
            await app.update_queue.put(Update.de_json(api.update(customer), app.bot))
        await app.update_queue.join()
        last = time.perf_counter() - began
        await app.stop()
    return len(accounts), last


def clean_ups(*ways: Callable[..., Coroutine[Any, Any, None]]) -> Drawing:
    """Let a clean-up of ten minutes run each hour for a day, in virtual time; the third run fails.

    A way is `await way(clean)`; its task is kept.
    """

    async def a_day(_: Schedule, way: Callable[..., Coroutine[Any, Any, None]]) -> list[Any]:
        runs, midnight = list[float](), time.monotonic()

        async def clean() -> None:
            runs.append(time.monotonic() - midnight)
            await asyncio.sleep(600)
            if len(runs) == _FAILS:
                raise OSError("the disk is full")

        with asyncio_log("jobs") as log:
            task = asyncio.create_task(way(clean))
            await asyncio.wait([task], timeout=24 * 3600 - 1)
            heard = "in its task, where nobody looks" if task.done() else "swallowed"
            task.cancel()
            await asyncio.wait([task])
        late = (runs[-1] - 3600 * (len(runs) - 1)) / 60
        many = colored(f"{len(runs)}", "calm" if len(runs) == 24 else "stall")
        return [code(name_of(way)), many, f"{late:.0f} minutes", "logged" if log else heard]

    rows = [in_virtual_time(partial(a_day, way=way)) for way in ways]
    heads = "Way", "Runs in a day", "The last one was late by", "The error is"
    return table(heads, rows)


_FAILS = 3

# What the framework's own create_task promises.


async def promises(patience: float = 2.0) -> Drawing:
    """Try what python-telegram-bot's `Application.create_task` does, with its real application."""
    told: list[object] = []
    ended: list[str] = []
    late: list[asyncio.Task[Any]] = []

    async def on_error(_: object, context: Any) -> None:
        told.append(context.error)

    async def fails() -> None:
        raise ValueError("a job fails")

    async def ends(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        ended.append(name)

    async def starts_another() -> None:
        await asyncio.sleep(0.1)
        late.append(app.create_task(ends("late", 0.3)))

    async with bot_at_work() as (app, _):
        app.add_error_handler(on_error)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PTBUserWarning: "won't be automatically awaited"
            early = app.create_task(ends("early", 0.5))
            await app.start()
            for job in (fails(), ends("under way", 0.3), starts_another()):
                app.create_task(job)
            await app.stop()
            seen = [*ended]
            await asyncio.wait([early, *late])
        await app.start()
        endless = app.create_task(asyncio.Event().wait())
        stopping, began = asyncio.ensure_future(app.stop()), time.perf_counter()
        await asyncio.wait([stopping], timeout=patience)
        stopped, waited = stopping.done(), time.perf_counter() - began
        endless.cancel()
        await stopping
    end = "stopped" if stopped else f"not after {span(waited)}: no job is cancelled"
    rows = [
        ("An error reaches the error handler, once", len(told) == 1, f"{len(told)} call"),
        ("stop waits for a job under way", "under way" in seen, "ended before stop returned"),
        ("stop waits for a job that a job starts meanwhile", "late" in seen, "still running"),
        ("stop waits for a job of post_init", "early" in seen, "still running"),
        ("stop returns while a job never ends", stopped, end),
    ]
    kept = {True: colored("yes", "calm"), False: colored("no", "stall")}
    return table(
        ["You might expect", "Kept", "Measured"],
        [[what, kept[good], how] for what, good, how in rows],
        title=f"Application.create_task keeps {sum(good for _, good, _ in rows)} of {len(rows)}.",
    )


# Diagnosis and race.


async def vanishing() -> None:
    """Lose a task, and collect garbage; in a process of its own."""

    async def waits() -> None:
        await asyncio.get_running_loop().create_future()

    # loopclinic: ignore[dropped-task] it is to be lost
    asyncio.create_task(waits())  # noqa: RUF006
    await asyncio.sleep(0)
    garbage.collect()


async def diagnose(function: Callable[..., Any], file: str) -> Drawing:
    """Ask each tool about `function`, and the scanner about `file`; about three seconds."""
    found, linted, scanner = await asyncio.gather(
        debug_run(vanishing),
        linter(function, "the line", "a task that is kept for good", rules="RUF006"),
        scanned(file, "the line", "what is kept for good"),
    )
    logged = next((one for one in found.logged if "destroyed" in one), "nothing")
    created = re.findall(r'File "[^"]*/([^/"]+)", line (\d+), in (\w+)', logged)
    mine = [one for one in created if one[0] != "tasks.py"]
    where = "{}:{} in {}".format(*mine[-1]) if mine else ""
    log = f"{logged.splitlines()[0]}\n{where}".strip()
    vanished, unseen = (
        "a task that vanished, and who created it",
        "whose work it was; an error of a task that is kept",
    )
    return opinions(
        linted,
        scanner,
        Opinion("asyncio's log", "python -X dev", log, vanished, unseen),
    )


def _bound(found: Result) -> tuple[float, str]:
    customers = found.runners[0].typical("customers")
    return customers, f"The bound is everybody: {customers:.0f} customers."


def _sentence(found: Result) -> str:
    said = []
    for one in found.runners:
        lost = count(round(one.typical("customers") - one.typical("heard")), "customer")
        ends = f"stopped after {span(one.typical('seconds'))}"
        ends = "had to be killed" if any(row["killed"] for row in one.rounds) else ends
        said.append(f"{one.name} {ends}; {lost} heard nothing more.")
    return " ".join(said)


race = Race(
    measure,
    columns=(
        Column("Customers who heard how it ended", "heard"),
        Column("Stopped after, s", "seconds", "{:.1f}".format),
        Column("Errors logged in time", "in time"),
        Column("Afterwards", "late"),
    ),
    costs=COSTS,
    bound=_bound,
    sentence=_sentence,
    good=lambda one: all(row["heard"] == row["customers"] for row in one.rounds),
)
"""Restarts a bot for each way, in turns; one that has not stopped after `patience` seconds is killed."""
