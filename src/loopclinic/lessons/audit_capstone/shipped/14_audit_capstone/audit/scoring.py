"""How often a company is named, and how certain that is."""

from random import Random

from psycopg_pool import ConnectionPool

from .jobs import Audit


async def calculate_scores(pool: ConnectionPool, audit: Audit, resamples: int) -> None:
    """Store the share of answers that name the company, and its 5th and 95th percentile."""
    with pool.connection() as connection, connection.cursor() as cursor:
        cursor.execute(
            "select mentioned from responses join queries on query_id = queries.id"
            " where audit_id = %s",
            [audit.id],
        )
        named = [bool(row[0]) for row in cursor]
        cursor.execute(
            "update audits set score = %s, low = %s, high = %s where id = %s",
            [*shares(named, resamples), audit.id],
        )


def shares(named: list[bool], resamples: int) -> tuple[float, float, float]:
    """Return the share of those named, and its 5th and 95th percentile by bootstrap."""
    rng, many = Random(len(named)), len(named)
    drawn = sorted(sum(rng.choices(named, k=many)) / many for _ in range(resamples))
    return sum(named) / many, drawn[len(drawn) // 20], drawn[-1 - len(drawn) // 20]
