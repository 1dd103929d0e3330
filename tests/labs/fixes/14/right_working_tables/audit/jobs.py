"""The queue: take an audit, see whether it was cancelled, say that it failed."""

from dataclasses import dataclass

from psycopg import AsyncCursor
from psycopg_pool import AsyncConnectionPool


@dataclass(frozen=True)
class Audit:
    """An audit under way."""

    id: int
    company: int


async def take_audit(pool: AsyncConnectionPool) -> Audit | None:
    """Take the first audit that is queued; None if there is none."""
    async with pool.connection() as connection, connection.cursor() as cursor:
        await cursor.execute(
            "select id, company_id from audits where status = 'queued' order by id"
            " limit 1 for update skip locked"
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        await cursor.execute("update audits set status = 'running' where id = %s", [row[0]])
        await remove(cursor, row[0])  # what an earlier try left
    return Audit(*row)


async def is_cancelled(pool: AsyncConnectionPool, audit: Audit) -> bool:
    """Return whether somebody cancelled it."""
    async with pool.connection() as connection, connection.cursor() as cursor:
        await cursor.execute("select status = 'cancelled' from audits where id = %s", [audit.id])
        row = await cursor.fetchone()
        return row is not None and bool(row[0])


async def remove(cursor: AsyncCursor, audit: int) -> None:
    """Remove what an audit has so far."""
    await cursor.execute(
        "delete from responses using queries where query_id = queries.id and audit_id = %s",
        [audit],
    )
    await cursor.execute("delete from queries where audit_id = %s", [audit])


async def handle_failure(pool: AsyncConnectionPool, audit: Audit, error: Exception) -> None:
    """Remove what the audit has so far, and set it to failed."""
    async with pool.connection() as connection, connection.cursor() as cursor:
        await remove(cursor, audit.id)
        await cursor.execute(
            "update audits set status = 'failed', error = %s where id = %s and status = 'running'",
            [f"{type(error).__name__}: {error}", audit.id],
        )
