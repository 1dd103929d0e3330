"""One query of lesson 02 in five versions ("rungs"), from a blocking driver to asyncpg, and their pools.

`await rung(pool, query)` does one unit of work: get a connection, run the query, commit.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

Rung = Callable[[Any, str], Awaitable[Any]]

LATENCY = 0.02
"""Seconds that PostgreSQL takes for the query of load and race."""
CONNECTIONS = 10
threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="database")
"""As many threads as connections, started on first use: neither ever waits for the other."""


async def blocking(pool: ConnectionPool, query: str) -> None:
    """Run the whole unit of work on the loop, as the lab does when it ships."""
    with pool.connection() as conn:
        conn.execute(query.encode())


async def execute_hops(pool: ConnectionPool, query: str) -> None:
    """Hop to a thread around `execute` alone; the rest stays on the loop: rung 1."""
    with pool.connection() as conn:
        await asyncio.to_thread(conn.execute, query.encode())


async def on_threads(pool: ConnectionPool, query: str) -> None:
    """Run the whole unit of work on a thread, with as many threads as connections: rung 2."""

    def unit() -> None:
        with pool.connection() as conn:
            conn.execute(query.encode())

    await asyncio.get_running_loop().run_in_executor(threads, unit)


async def psycopg_async(pool: AsyncConnectionPool, query: str) -> None:
    """Use the same driver's asynchronous side: rung 3."""
    async with pool.connection() as conn:
        await conn.execute(query.encode())


async def native(pool: asyncpg.Pool, query: str) -> None:
    """Use a driver made for the loop: rung 4."""
    async with pool.acquire() as conn:
        await conn.execute(query)


RUNGS = (blocking, execute_hops, on_threads, psycopg_async, native)

COSTS = {
    "blocking": "everybody's time",
    "audit": "everybody's time",
    "execute_hops": "the default executor's threads; hangs when the pool is dry",
    "on_threads": "a thread for each connection; a cancel does not reach it",
    "psycopg_async": "await in every caller; the driver's own Python at each query",
    "native": "await in every caller; another driver's SQL ($1 for %s) and its types",
}
"""What each rung asks in return."""


@asynccontextmanager
async def opened(rung: Rung, dsn: str, size: int = CONNECTIONS) -> AsyncIterator[Any]:
    """Open the pool that `rung` asks for by its first annotation; psycopg's own if it names none."""
    kind = next(iter(inspect.signature(rung).parameters.values())).annotation
    if kind in (asyncpg.Pool, "asyncpg.Pool"):
        async with asyncpg.create_pool(dsn, min_size=size, max_size=size) as pool:
            yield pool
    elif kind in (AsyncConnectionPool, "AsyncConnectionPool"):
        async with AsyncConnectionPool(dsn, min_size=size, max_size=size, open=False) as pool:
            await pool.wait()
            yield pool
    else:
        with ConnectionPool(dsn, min_size=size, max_size=size, open=True) as pool:
            # Not a thread of the default executor, which may be what is measured.
            await asyncio.get_running_loop().run_in_executor(threads, pool.wait)
            yield pool
