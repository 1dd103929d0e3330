"""The queue: take an audit, see whether it was cancelled, say that it failed."""

import asyncio
from dataclasses import dataclass

from psycopg_pool import AsyncConnectionPool

NEXT = "select id, company_id from audits where status = 'queued' order by id limit 1"
TAKE = "update audits set status = 'running' where id = %s"
TAKING = asyncio.Lock()


@dataclass(frozen=True)
class Audit:
    """An audit under way."""

    id: int
    company: int


async def take_audit(pool: AsyncConnectionPool) -> Audit | None:
    """Take the first audit that is queued; None if there is none."""
    async with TAKING, pool.connection() as connection:
        row = await (await connection.execute(NEXT)).fetchone()
        if row is not None:
            await connection.execute(TAKE, [row[0]])
    return None if row is None else Audit(*row)


async def is_cancelled(pool: AsyncConnectionPool, audit: Audit) -> bool:
    """Return whether somebody cancelled it."""
    async with pool.connection() as connection:
        query = "select status = 'cancelled' from audits where id = %s"
        row = await (await connection.execute(query, [audit.id])).fetchone()
    return row is not None and bool(row[0])


async def handle_failure(pool: AsyncConnectionPool, audit: Audit, error: Exception) -> None:
    """Set the audit to failed: nothing else of it was stored."""
    async with pool.connection() as connection:
        await connection.execute(
            "update audits set status = 'failed', error = %s where id = %s and status = 'running'",
            [f"{type(error).__name__}: {error}", audit.id],
        )
