"""The queue: take an audit, see whether it was cancelled, say that it failed."""

from dataclasses import dataclass

from asyncpg import Pool

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


async def take_audit(pool: Pool) -> Audit | None:
    """Take the first audit that is queued; None if there is none."""
    row = await pool.fetchrow(TAKE)
    return None if row is None else Audit(*row)


async def is_cancelled(pool: Pool, audit: Audit) -> bool:
    """Return whether somebody cancelled it."""
    query = "select status = 'cancelled' from audits where id = $1"
    return bool(await pool.fetchval(query, audit.id))


async def handle_failure(pool: Pool, audit: Audit, error: Exception) -> None:
    """Set the audit to failed: nothing else of it was stored."""
    await pool.execute(
        "update audits set status = 'failed', error = $1 where id = $2 and status = 'running'",
        f"{type(error).__name__}: {error}",
        audit.id,
    )
