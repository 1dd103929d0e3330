"""Counts a loop's tasks, executor calls and threads, and groups its tasks by what they await."""

import asyncio
import gc
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from types import CodeType, FrameType
from typing import Any

from loopclinic.probe.frames import frame_of, giving_back, lend

_MANY_TASKS = 2000  # from here on tasks are not looked at one by one: that would itself be a stall


@dataclass(frozen=True, slots=True)
class Census:
    """How many tasks and threads there are at one moment."""

    tasks: int
    executor_threads: int
    """Threads that the default executor has started."""
    executor_busy: int
    """Of these, how many are at work."""
    executor_queued: int
    """Calls that wait for a thread."""
    executor_workers: int
    """The most threads it will start."""
    threads: int
    requests: int | None = None
    """Requests in work, where aiohttp or uvicorn serves them: each has a task of its own there. None
    where neither does, and above 2,000 tasks."""


_GROUPS = 10  # of tasks that are told
_DEEPEST = 12  # coroutines of one chain, the innermost ones
_PATIENCE = 0.005  # seconds that grouping takes at most
_STRIDE = 32  # tasks between two looks at the clock


@dataclass(frozen=True, slots=True)
class Waiters:
    """Tasks that wait in the same place: each awaits an equal chain of coroutines."""

    count: int
    ready: bool
    """They could run, but for the loop; else they are suspended."""
    chain: tuple[str, ...]
    """`checkout (orders.py:41)`, the task's own coroutine first."""

    @property
    def name(self) -> str:
        """The tasks' own coroutine."""
        return self.chain[0].partition(" (")[0] if self.chain else "a task"

    def to_dict(self) -> dict[str, Any]:
        """Return the group as JSON values."""
        return {"count": self.count, "ready": self.ready, "chain": [*self.chain]}


@dataclass(frozen=True, slots=True)
class Waiting:
    """The tasks of a stuck loop, without the one that ran."""

    ready: int
    suspended: int
    groups: tuple[Waiters, ...]
    """The largest ones, the ready ones first."""
    unseen: int = 0
    """Tasks that were not looked at, since there were too many."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {
            "ready": self.ready,
            "suspended": self.suspended,
            "groups": [group.to_dict() for group in self.groups],
            "unseen": self.unseen,
        }

    def __str__(self) -> str:
        if not self.ready and not self.suspended:
            return ""
        told = _tasks(self.ready, "ready")
        names: Counter[str] = Counter()
        for group in self.groups:
            if group.ready:
                names[group.name] += group.count
        if names:
            name, most = names.most_common(1)[0]
            told += f", {most} of them in {name}" if self.ready > 1 else f", in {name}"
        if self.suspended:
            told += f"; {_tasks(self.suspended, 'suspended')}"
        if self.unseen:
            told += f"; {self.unseen:,} more tasks were not looked at"
        return told + "."


def _tasks(number: int, state: str) -> str:
    return f"{number or 'no'} {'task was' if number == 1 else 'tasks were'} {state}"


def waiting_on(loop: asyncio.AbstractEventLoop, now: float | None = None) -> Waiting | None:
    """Group the tasks of a stuck loop by what they await, from any thread; None if they can't be read.

    A task is ready if its step or wakeup is scheduled, or if the timer that it sleeps for was due by
    `now`, on the loop's clock. What a socket has for it is not known, nor which timers of uvloop are due.
    """
    due = due_futures(loop, loop.time() if now is None else now)
    try:
        running = asyncio.current_task(loop)
        tasks, total = _some_tasks(loop)
    except RuntimeError:  # the set changed under us
        return None
    groups: Counter[tuple[bool, tuple[str, ...]]] = Counter()
    began, seen = perf_counter(), 0
    for seen, task in enumerate(tasks, start=1):
        if task is not running and not task.done():
            waiter = getattr(task, "_fut_waiter", None)
            ready = waiter is None or waiter.done() or id(waiter) in due
            groups[ready, tuple(_chain(task.get_coro()))] += 1
        if seen % _STRIDE == 0 and perf_counter() - began > _PATIENCE:
            break
    largest = sorted(groups.items(), key=lambda one: (not one[0][0], -one[1]))
    count = {True: 0, False: 0}
    for (ready, _), number in groups.items():
        count[ready] += number
    told = tuple(Waiters(number, *key) for key, number in largest[:_GROUPS])
    return Waiting(count[True], count[False], told, max(0, total - seen))


def due_futures(loop: Any, now: float) -> dict[int, float]:
    """Return when each future that a due timer will set was due, by id, where the loop lists its timers."""
    timers: Iterable[Any] = getattr(loop, "_scheduled", ())
    return {
        id(argument): timer.when()
        for timer in islice(list(timers), _MANY_TASKS)
        if timer.when() <= now and not timer.cancelled()
        for argument in timer._args or ()  # noqa: SLF001 - nothing public tells what it will call
    }


def _some_tasks(loop: asyncio.AbstractEventLoop) -> tuple[list[asyncio.Task[Any]], int]:
    """Return the loop's tasks, or so many of them as can be listed in little time, and how many there are.

    Raises:
        RuntimeError: they changed meanwhile.
    """
    known = _known_tasks()
    if sys.version_info >= (3, 14) or len(known) <= _MANY_TASKS:
        tasks = list(asyncio.all_tasks(loop))
        total = len(tasks)
    else:
        tasks = [task for task in islice(known, _MANY_TASKS) if task.get_loop() is loop]
        total = len(known)
    lend(tasks)
    return tasks, total


def _chain(coroutine: Any) -> Iterator[str]:
    """Yield the coroutines that await one another in words, outermost first."""
    for one, code, frame in islice(links(coroutine), _DEEPEST):
        line = frame.f_lineno if frame is not None else code.co_firstlineno
        name = getattr(one, "__qualname__", code.co_name).rpartition("<locals>.")[2]
        yield f"{name} ({os.path.basename(code.co_filename)}:{line})"  # noqa: PTH119 - pathlib is slow


def links(coroutine: Any) -> Iterator[tuple[Any, CodeType, FrameType | None]]:
    """Yield each coroutine or generator that awaits the next, its code and its frame, outermost first."""
    while True:
        lend((coroutine,))
        for kind in ("cr", "gi", "ag"):
            code = getattr(coroutine, f"{kind}_code", None)
            if code is not None:
                yield coroutine, code, frame_of(coroutine, kind)
                awaits = "gi_yieldfrom" if kind == "gi" else f"{kind}_await"
                coroutine = getattr(coroutine, awaits)
                break
        else:
            return
        if type(coroutine).__name__ in _WRAPPERS:
            inner = gc.get_referents(coroutine)
            coroutine = next(
                (one for one in inner if hasattr(one, "__await__") or hasattr(one, "ag_code")), None
            )


_WRAPPERS = {"async_generator_asend", "async_generator_athrow", "coroutine_wrapper"}
"""What an await makes of another coroutine or generator, which only the garbage collector tells."""
_POOLS = {
    "_acquire_impl": "Queue.get",  # asyncpg
    "greenlet_spawn": "Queue.get",  # SQLAlchemy
    "WaitingClient.wait": "",  # psycopg_pool
    "Pool._acquire": "Condition.wait",  # aiomysql, aiopg
    "BlockingConnectionPool.get_connection": "Condition.wait",  # redis
    "BaseConnector._wait_for_available_connection": "",  # aiohttp
    "AsyncPoolRequest.wait_for_connection": "",  # httpcore, so httpx
}
"""The coroutine that waits for a connection of a pool, and the last that it awaits while it does."""


def waiting_for_a_connection(loop: asyncio.AbstractEventLoop) -> int:
    """Count the tasks that wait for a connection of a known pool, from any thread; in 5 ms at most."""
    try:
        tasks, _ = _some_tasks(loop)
    except RuntimeError:  # the set changed under us
        return 0
    began, found = perf_counter(), 0
    for seen, task in enumerate(tasks, start=1):
        names = [link.partition(" (")[0] for link in _chain(task.get_coro())]
        found += any(
            one in _POOLS and (not _POOLS[one] or _POOLS[one] == names[-1]) for one in names
        )
        if seen % _STRIDE == 0 and perf_counter() - began > _PATIENCE:
            break
    return found


# By the module that is loaded where the server is: the coroutine that becomes a request's task.
_SERVERS = {
    "aiohttp.web_protocol": "RequestHandler._handle_request",
    "uvicorn": "RequestResponseCycle.run_asgi",
}


def census_of(loop: asyncio.AbstractEventLoop | None) -> Census:
    """Count, from any thread; before Python 3.14, above 2,000 tasks, those of every loop together."""
    # ThreadPoolExecutor tells nothing of itself in public.
    executor = getattr(loop, "_default_executor", None)
    started = len(getattr(executor, "_threads", ()))
    idle = getattr(getattr(executor, "_idle_semaphore", None), "_value", 0)
    queue = getattr(executor, "_work_queue", None)
    processors = getattr(os, "process_cpu_count", os.cpu_count)()  # as the executor counts them
    with giving_back(loop):
        tasks, requests = _count_tasks(loop)
    return Census(
        tasks=tasks,
        executor_threads=started,
        executor_busy=max(0, started - idle),
        executor_queued=queue.qsize() if queue is not None else 0,
        executor_workers=getattr(executor, "_max_workers", min(32, (processors or 1) + 4)),
        threads=threading.active_count(),
        requests=requests,
    )


def _count_tasks(loop: asyncio.AbstractEventLoop | None) -> tuple[int, int | None]:
    """Return how many tasks there are, and how many of them are requests in work."""
    # Up to 3.13 asyncio keeps tasks in a WeakSet, whose length is free, and all_tasks() walks it:
    # 0.5 ms for 2,000. From 3.14 on only tasks written in Python are in it, and all_tasks() is C:
    # 0.3 ms for 10,000.
    known = _known_tasks()
    if sys.version_info < (3, 14) and len(known) > _MANY_TASKS:
        return len(known), None
    try:
        tasks = asyncio.all_tasks(loop) if loop is not None else set()
        lend(tasks)
    except RuntimeError:  # the set changed under us too often
        return len(known), None
    serving = {name for module, name in _SERVERS.items() if module in sys.modules}
    if not serving or len(tasks) > _MANY_TASKS:
        return len(tasks), None
    # A task that was done at once, eagerly, has no coroutine left.
    names = (getattr(task.get_coro(), "__qualname__", "") for task in tasks)
    return len(tasks), sum(name in serving for name in names)


def _known_tasks() -> Any:
    """Return where asyncio keeps the tasks of every loop; from 3.14 on only those written in Python."""
    return getattr(asyncio.tasks, "_scheduled_tasks", getattr(asyncio.tasks, "_all_tasks", ()))
