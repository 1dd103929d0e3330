"""The rungs from the blocking driver to the native one, as the notebook shows them."""

import asyncio

import asyncpg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from loopclinic.lessons.sync_database.pools import threads

__all__ = ["COSTS", "RUNGS", "blocking", "execute_hops", "native", "on_threads", "psycopg_async"]


async def blocking(pool: ConnectionPool, query: str) -> None:
    """Do it all on the loop, as the lab does when it ships."""
    with pool.connection() as conn:
        conn.execute(query.encode())


async def execute_hops(pool: ConnectionPool, query: str) -> None:
    """Hop to a thread around `execute` alone; the rest stays on the loop: rung 1."""
    with pool.connection() as conn:
        await asyncio.to_thread(conn.execute, query.encode())


def unit(pool: ConnectionPool, query: str) -> None:
    """Do a whole unit of work, blocking."""
    with pool.connection() as conn:
        conn.execute(query.encode())


async def on_threads(pool: ConnectionPool, query: str) -> None:
    """Hop around the whole unit of work, with as many threads as connections: rung 2."""
    await asyncio.get_running_loop().run_in_executor(threads, unit, pool, query)


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
