"""What lives beside a loop: its tasks, its default executor, the threads of the process."""

import asyncio
import os
import sys
import threading
from dataclasses import dataclass

__all__ = ["Census", "census_of"]

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
    known = getattr(asyncio.tasks, "_scheduled_tasks", getattr(asyncio.tasks, "_all_tasks", ()))
    if sys.version_info < (3, 14) and len(known) > _MANY_TASKS:
        return len(known), None
    try:
        tasks = asyncio.all_tasks(loop) if loop is not None else set()
    except RuntimeError:  # the set changed under us too often
        return len(known), None
    serving = {name for module, name in _SERVERS.items() if module in sys.modules}
    if not serving or len(tasks) > _MANY_TASKS:
        return len(tasks), None
    # A task that was done at once, eagerly, has no coroutine left.
    names = (getattr(task.get_coro(), "__qualname__", "") for task in tasks)
    return len(tasks), sum(name in serving for name in names)
