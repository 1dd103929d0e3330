"""A rung of the ladder with the pool it asks for, and as something to put under load."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from psycopg_pool import AsyncConnectionPool, ConnectionPool

from loopclinic.load import Request, Variant

__all__ = ["INVOICES", "opened", "served"]

# Imported by each process under load: what only a notebook needs stands elsewhere.

INVOICES = 40
"""Open invoices in the harbor's database, numbered from 1."""
_CONNECTIONS = 10


@asynccontextmanager
async def opened(way: Any, dsn: str) -> AsyncIterator[Any]:
    """Open the pool that `way` asks for by its annotation, and give `way(pool)`."""
    kind = next(iter(inspect.signature(way).parameters.values())).annotation
    if kind in (AsyncConnectionPool, "AsyncConnectionPool"):
        async with AsyncConnectionPool(dsn, min_size=2, max_size=_CONNECTIONS, open=False) as pool:
            await pool.wait()
            yield way(pool)
    else:
        blocking = ConnectionPool(dsn, min_size=2, max_size=_CONNECTIONS, open=False)
        await asyncio.to_thread(blocking.open, wait=True)
        try:
            yield way(blocking)
        finally:
            await asyncio.to_thread(blocking.close)


def served(way: Any, dsn: str) -> Variant:
    """Return payments by `way(pool).record` as something to put under load."""

    @asynccontextmanager
    async def service() -> AsyncIterator[Any]:
        async with opened(way, dsn) as one:
            yield one

    async def handle(request: Request) -> None:
        await request.state.record(1 + request.number % INVOICES, 1, str(uuid4()))

    return Variant(handle, name=way.__name__, setup=service)
