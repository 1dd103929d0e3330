"""Ways to run async work from the tasks of a Celery worker ("rungs"), from a loop each to one for all.

Each is `way(dsn)` and returns `run(work)`, which returns what `await work(pool)` returns. Without an
address there is no pool.
"""

import asyncio
import os
import threading
from asyncio import _get_running_loop
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

SIZE = 4
"""Connections that a pool may open."""
Work = Callable[[Any], Awaitable[Any]]
Run = Callable[[Work], Any]

COSTS = {
    "run_each": "a loop, a pool and its connections for each task",
    "look_up": "nothing that works: a thread of a pool has no loop",
    "pool_for_all": "errors: a pool belongs to the loop that made it",
    "runner_each_thread": "a loop and a pool for each thread",
    "one_loop": "a thread for the loop, started by the first task",
    "before_the_fork": "a thread and a pool that only the parent process has",
}
"""What each rung costs, in words."""


_loops: dict[int, Any] = {}


async def asked(pool: Any) -> tuple[int, int]:
    """Ask PostgreSQL for 1, if there is a pool; return the process and a number of the loop."""
    loop = asyncio.get_running_loop()
    _loops[id(loop)] = loop  # kept, so that no number comes twice
    if pool is not None:
        await pool.fetchval("select 1")
    return os.getpid(), id(loop)


async def opened(dsn: str) -> Any:
    """Return a pool, or None without an address."""
    return await asyncpg.create_pool(dsn, min_size=0, max_size=SIZE) if dsn else None


def run_each(dsn: str) -> Run:
    """Call asyncio.run in each task: the anti-pattern, where there is a pool."""

    async def main(work: Work) -> Any:
        pool = await opened(dsn)
        try:
            return await work(pool)
        finally:
            if pool is not None:
                await pool.close()

    return lambda work: asyncio.run(main(work))


def look_up(dsn: str) -> Run:
    """Look a loop up, as code from before Python 3.7 does."""
    del dsn
    return lambda work: asyncio.get_event_loop().run_until_complete(work(None))


def pool_for_all(dsn: str) -> Run:
    """Keep the pool of the first task, and call asyncio.run in each."""
    kept, lock = list[Any](), threading.Lock()

    async def main(work: Work) -> Any:
        with lock:
            if not kept:
                kept.append(asyncpg.create_pool(dsn, min_size=0, max_size=SIZE))
        return await work(await kept[0])

    return lambda work: asyncio.run(main(work))


def runner_each_thread(dsn: str) -> Run:
    """Keep a Runner for each thread: in a worker of processes, that is one for each process."""
    own = threading.local()

    async def main(work: Work) -> Any:
        if not hasattr(own, "pool"):
            own.pool = await opened(dsn)
        return await work(own.pool)

    def run(work: Work) -> Any:
        if not hasattr(own, "runner"):
            own.runner = asyncio.Runner()
        return own.runner.run(main(work))

    return run


def one_loop(dsn: str) -> Run:
    """Run one loop on a thread of its own, and hand it all work; refuse on a loop's thread."""
    lock, made = threading.Lock(), list[Any]()

    async def main(work: Work, pool: Any, within: float) -> Any:
        async with asyncio.timeout(within):
            return await work(pool)

    def run(work: Work, within: float = 5.0) -> Any:
        if _get_running_loop() is not None:
            raise RuntimeError("a loop runs on this thread: await the work")
        with lock:
            if not made:
                loop = asyncio.new_event_loop()
                threading.Thread(target=loop.run_forever, daemon=True).start()
                made[:] = loop, asyncio.run_coroutine_threadsafe(opened(dsn), loop).result()
        loop, pool = made
        return asyncio.run_coroutine_threadsafe(main(work, pool, within), loop).result()

    return run
