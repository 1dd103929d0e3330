"""How often a company is named, and how certain that is."""

import asyncio
from random import Random

from psycopg_pool import AsyncConnectionPool

from .jobs import Audit


async def calculate_scores(pool: AsyncConnectionPool, audit: Audit, resamples: int) -> None:
    """Store the share of answers that name the company, and its 5th and 95th percentile."""
    async with pool.connection() as connection, connection.cursor() as cursor:
        await cursor.execute(
            "select mentioned from responses join queries on query_id = queries.id"
            " where audit_id = %s",
            [audit.id],
        )
        named = [bool(row[0]) async for row in cursor if row[0] is not None]
    found = await asyncio.to_thread(shares, named, resamples)
    async with pool.connection() as connection, connection.cursor() as cursor:
        await cursor.execute(
            "update audits set score = %s, low = %s, high = %s where id = %s",
            [*found, audit.id],
        )


def shares(named: list[bool], resamples: int) -> tuple[float, float, float]:
    """Return the share of those named, and its 5th and 95th percentile by bootstrap."""
    rng, many = Random(len(named)), len(named)
    drawn = sorted(sum(rng.choices(named, k=many)) / many for _ in range(resamples))
    return sum(named) / many, drawn[len(drawn) // 20], drawn[-1 - len(drawn) // 20]
