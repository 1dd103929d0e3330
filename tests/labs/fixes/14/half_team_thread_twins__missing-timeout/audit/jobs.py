"""The queue: take an audit, see whether it was cancelled, say that it failed."""

import asyncio
from dataclasses import dataclass

from psycopg_pool import ConnectionPool


@dataclass(frozen=True)
class Audit:
    """An audit under way."""

    id: int
    company: int


async def take_audit(pool: ConnectionPool) -> Audit | None:
    """Take the first audit that is queued; None if there is none."""

    def work() -> Audit | None:
        with pool.connection() as connection, connection.cursor() as cursor:
            cursor.execute(
                "select id, company_id from audits where status = 'queued' order by id limit 1"
            )
            row = cursor.fetchone()
            if row is None:
                return None
            cursor.execute("update audits set status = 'running' where id = %s", [row[0]])
        return Audit(*row)

    return await asyncio.to_thread(work)


async def is_cancelled(pool: ConnectionPool, audit: Audit) -> bool:
    """Return whether somebody cancelled it."""

    def ask() -> bool:
        with pool.connection() as connection, connection.cursor() as cursor:
            cursor.execute("select status = 'cancelled' from audits where id = %s", [audit.id])
            row = cursor.fetchone()
            return row is not None and bool(row[0])

    return await asyncio.to_thread(ask)


async def handle_failure(pool: ConnectionPool, audit: Audit, error: Exception) -> None:
    """Remove what the audit has so far, and set it to failed."""

    def work() -> None:
        with pool.connection() as connection, connection.cursor() as cursor:
            cursor.execute(
                "delete from responses using queries where query_id = queries.id and audit_id = %s",
                [audit.id],
            )
            cursor.execute("delete from queries where audit_id = %s", [audit.id])
            cursor.execute(
                "update audits set status = 'failed', error = %s where id = %s",
                [f"{type(error).__name__}: {error}", audit.id],
            )

    return await asyncio.to_thread(work)
