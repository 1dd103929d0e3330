"""What the notebook needs: the database, the audits that arrive, and what their stalls looked like."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg_pool import ConnectionPool

from loopclinic.lessons.drawing import Drawing, stalled
from loopclinic.lessons.kernel_database import KernelDatabase
from loopclinic.lessons.sync_database import pools
from loopclinic.lessons.sync_database.cancels import cancelled
from loopclinic.lessons.sync_database.hangs import hang
from loopclinic.lessons.sync_database.pools import opened
from loopclinic.lessons.sync_database.race import LATENCY
from loopclinic.lessons.sync_database.records import lay_out
from loopclinic.load import Request, Variant, Vitals

__all__ = [
    "COUNT",
    "LOCK",
    "brand_audits",
    "cancelled",
    "hang",
    "model",
    "pools",
    "served",
    "stalls",
]

LOCK = "select mentions from companies where id = %s for update"
COUNT = "update companies set mentions = mentions + 1 where id = %s"

SLOW = f"select pg_sleep({LATENCY})"
"""A query that takes PostgreSQL 20 ms."""

_AUDITS = KernelDatabase("brand audits", lay_out)


async def brand_audits() -> str:
    """Return the address of a database with the audit's tables; it ends with the kernel."""
    return await _AUDITS.address()


async def model() -> None:
    """Ask a language model; it takes its time."""
    await asyncio.sleep(0.1)


async def patient(pool: ConnectionPool, company: int) -> None:
    """Audit a company as the notebook does: wait for the model with a connection and a row in hand."""
    with pool.connection() as connection:
        connection.execute(LOCK, [company])
        await model()
        connection.execute(COUNT, [company])


def served(audit: Any, dsn: str) -> Variant:
    """Return `audit(pool, query)` as something to put under load, with a pool of ten connections."""

    @asynccontextmanager
    async def pool() -> AsyncIterator[Any]:
        async with opened(audit, dsn) as one:
            yield one

    async def handle(request: Request) -> None:
        await audit(request.state, SLOW)

    return Variant(handle, name=audit.__name__, setup=pool)


def stalls(vitals: Vitals) -> Drawing:
    """Say what the load did to the loop, in the figures that matter."""
    return stalled(vitals, ", with its CPU idle: it stood in one query after another", last="audit")
