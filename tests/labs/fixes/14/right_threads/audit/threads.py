"""Units of work on threads of our own, which end when their task is cancelled."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
        """Do a unit of work in one transaction; if the task is cancelled, end its statement, and roll back."""
        held: list[psycopg.Connection] = []
        over = False

        def transaction() -> T:
            with self.pool.connection() as connection:
                held.append(connection)
                if over:
                    raise RuntimeError("cancelled before it began")
                result = work(connection)
                if over:
                    raise RuntimeError("cancelled while it worked")
                return result

        future = asyncio.get_running_loop().run_in_executor(self.executor, transaction)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            over = True
            while not future.done():
                for connection in held:
                    connection.cancel()  # again and again: between two statements it ends none
                await asyncio.wait([future], timeout=0.05)
            with suppress(Exception):
                future.result()  # else asyncio reports it as an error that nobody saw
            raise
