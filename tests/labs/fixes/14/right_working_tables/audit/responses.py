"""What was answered, and whether it names the company."""

from collections.abc import Sequence

from psycopg_pool import AsyncConnectionPool

from .companies import Context
from .jobs import Audit
from .models import Response


async def store_responses(pool: AsyncConnectionPool, responses: Sequence[Response]) -> None:
    """Store the answers as they came."""
    async with pool.connection() as connection, connection.cursor() as cursor:
        await cursor.executemany(
            "insert into responses (query_id, provider, text, error) values (%s, %s, %s, %s)",
            [(one.query, one.provider, one.text, one.error) for one in responses],
        )


async def analyze_responses(pool: AsyncConnectionPool, audit: Audit, context: Context) -> None:
    """Say of each answer whether it names the company."""
    async with pool.connection() as connection, connection.cursor() as cursor:
        await cursor.execute(
            "select responses.id, responses.text from responses"
            " join queries on query_id = queries.id"
            " where audit_id = %s and responses.text is not null",
            [audit.id],
        )
        await cursor.executemany(
            "update responses set mentioned = %s where id = %s",
            [(context.name.lower() in text.lower(), key) for key, text in await cursor.fetchall()],
        )
