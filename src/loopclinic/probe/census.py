"""What lives beside a loop: its tasks, its default executor, the threads of the process."""

import asyncio
import os
import threading
from dataclasses import dataclass

__all__ = ["Census", "census_of"]

_MANY_TASKS = 2000  # from here on tasks are counted roughly: listing them would itself be a stall


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


def census_of(loop: asyncio.AbstractEventLoop | None) -> Census:
    """Count, from any thread; above 2,000 tasks roughly."""
    # ThreadPoolExecutor tells nothing of itself in public.
    executor = getattr(loop, "_default_executor", None)
    started = len(getattr(executor, "_threads", ()))
    idle = getattr(getattr(executor, "_idle_semaphore", None), "_value", 0)
    queue = getattr(executor, "_work_queue", None)
    return Census(
        tasks=_count_tasks(loop),
        executor_threads=started,
        executor_busy=max(0, started - idle),
        executor_queued=queue.qsize() if queue is not None else 0,
        executor_workers=getattr(executor, "_max_workers", min(32, (os.cpu_count() or 1) + 4)),
        threads=threading.active_count(),
    )


def _count_tasks(loop: asyncio.AbstractEventLoop | None) -> int:
    # CPython up to 3.13 keeps tasks in a WeakSet whose length is free; all_tasks() walks it.
    known = getattr(asyncio.tasks, "_scheduled_tasks", getattr(asyncio.tasks, "_all_tasks", ()))
    if len(known) > _MANY_TASKS:
        return len(known)
    try:
        return len(asyncio.all_tasks(loop)) if loop is not None else 0
    except RuntimeError:  # the set changed under us too often
        return len(known)
