"""Units of work on threads of our own, each with a deadline."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg
from psycopg_pool import ConnectionPool

T = TypeVar("T")


class Threads:
    """As many threads as there are connections, so that none waits for one."""

    def __init__(self, pool: ConnectionPool, size: int) -> None:
        self.pool = pool
        self.executor = ThreadPoolExecutor(size, thread_name_prefix="audit")

    async def unit(self, work: Callable[[psycopg.Connection], T]) -> T:
        """Do a unit of work in one transaction, within ten seconds."""

        def transaction() -> T:
            with self.pool.connection() as connection:
                return work(connection)

        async with asyncio.timeout(10):
            return await asyncio.get_running_loop().run_in_executor(self.executor, transaction)
