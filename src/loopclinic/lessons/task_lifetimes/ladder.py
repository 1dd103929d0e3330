"""Five ways of lesson 11 to start a background job ("rungs"): `way(application)` returns `start(job, update)`."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

COSTS = {
    "forgotten": "nothing holds the task, and nothing waits for it",
    "kept": "held for good, and its error with it",
    "let_go": "held while it runs; a restart still ends it",
    "frameworks": "stop waits for it, however long it takes",
    "supervised": "a class of thirty lines; what is late is cancelled, and told so",
}
"""What each rung costs, in words."""

GRACE = 2.0
"""Seconds that `supervised` gives jobs when the bot stops."""


def forgotten(app: Any) -> Callable[..., object]:
    """Start the task and forget it: the anti-pattern."""
    return lambda job, update: asyncio.create_task(job())


def kept(app: Any) -> Callable[..., object]:
    """Keep a reference, for good: rung 1, as many read the advice."""
    tasks = []
    return lambda job, update: tasks.append(asyncio.create_task(job()))


def let_go(app: Any) -> Callable[..., object]:
    """Keep a reference until the task is done: rung 2."""
    tasks = set()

    def start(job: Any, update: Any) -> None:
        task = asyncio.create_task(job())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return start


def frameworks(app: Any) -> Callable[..., object]:
    """Let the framework start the task: rung 3."""
    return lambda job, update: app.create_task(job(), update)


class Jobs:
    """Background jobs that are held, heard of, and waited for."""

    def __init__(self, on_error: Callable[..., Any]) -> None:
        self._on_error = on_error
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self, name: str, factory: Callable[..., Any]) -> bool:
        """Start a job, unless closed; return whether it did."""
        if not self._closed:
            task = asyncio.create_task(self._run(name, factory))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return not self._closed

    async def _run(self, name: str, factory: Callable[..., Any]) -> None:
        try:
            await factory()
        except Exception as error:
            self._on_error(name, error)

    async def close(self, grace: float) -> None:
        """Take no more, wait, cancel the rest, and wait again."""
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


async def hourly(clean: Callable[[], Any]) -> None:
    """Clean up each hour on the hour; an error ends this run, and not the next one."""
    due = time.monotonic()
    while True:
        try:
            await clean()
        except Exception as error:
            log_error("clean-up", error)
        due += 3600
        await asyncio.sleep(due - time.monotonic())


def log_error(name: str, error: Exception) -> None:
    """Log an error of a job with its name."""
    logging.getLogger("jobs").error("%s failed: %s", name, error)


def supervised(app: Any) -> Callable[..., object]:
    """Start jobs in a Jobs that the bot closes when it stops, while it can still send messages: rung 4."""
    jobs = Jobs(log_error)

    async def close(_: object) -> None:
        await jobs.close(GRACE)

    app.post_stop = close
    return lambda job, update: jobs.start(f"print {update.update_id}", job)
