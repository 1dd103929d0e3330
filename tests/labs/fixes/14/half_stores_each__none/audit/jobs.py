"""The queue: take an audit, see whether it was cancelled, say that it failed."""

from dataclasses import dataclass

from psycopg_pool import AsyncConnectionPool

TAKE = """
    update audits set status = 'running' where id = (
        select id from audits where status = 'queued' order by id for update skip locked limit 1
    ) returning id, company_id
"""


@dataclass(frozen=True)
class Audit:
    """An audit under way."""

    id: int
    company: int


async def take_audit(pool: AsyncConnectionPool) -> Audit | None:
    """Take the first audit that is queued; None if there is none."""
    async with pool.connection() as connection:
        row = await (await connection.execute(TAKE)).fetchone()
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
        await connection.execute("delete from final_responses where audit_id = %s", [audit.id])
        await connection.execute(
            "update audits set status = 'failed', error = %s where id = %s and status = 'running'",
            [f"{type(error).__name__}: {error}", audit.id],
        )
