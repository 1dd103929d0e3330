"""The pool that a rung of the ladder asks for, by the annotation of its first parameter."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

__all__ = ["CONNECTIONS", "Rung", "opened", "threads"]

Rung = Callable[[Any, str], Awaitable[Any]]
"""`await rung(pool, query)` does one unit of work: get a connection, run the query, commit."""

CONNECTIONS = 10
threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="database")
"""As many threads as connections, started on first use: neither ever waits for the other."""


@asynccontextmanager
async def opened(rung: Rung, dsn: str, size: int = CONNECTIONS) -> AsyncIterator[Any]:
    """Open the pool that `rung` asks for, with `size` connections; psycopg's own if it names none."""
    kind = next(iter(inspect.signature(rung).parameters.values())).annotation
    if kind in (asyncpg.Pool, "asyncpg.Pool"):
        async with asyncpg.create_pool(dsn, min_size=size, max_size=size) as native:
            yield native
    elif kind in (AsyncConnectionPool, "AsyncConnectionPool"):
        async with AsyncConnectionPool(
            dsn, min_size=size, max_size=size, open=False
        ) as asynchronous:
            await asynchronous.wait()
            yield asynchronous
    else:
        pool = ConnectionPool(dsn, min_size=size, max_size=size, open=True)
        try:
            # A thread of nobody's: the default executor may be what is measured.
            await asyncio.get_running_loop().run_in_executor(threads, pool.wait)
            yield pool
        finally:
            pool.close()
