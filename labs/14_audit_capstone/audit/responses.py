"""What was answered, and whether it names the company."""

from collections.abc import Sequence

from psycopg_pool import ConnectionPool

from .companies import Context
from .jobs import Audit
from .models import Response


async def store_responses(pool: ConnectionPool, responses: Sequence[Response]) -> None:
    """Store the answers as they came."""
    with pool.connection() as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into responses (query_id, provider, text) values (%s, %s, %s)",
            [(one.query, one.provider, one.text) for one in responses],
        )


async def analyze_responses(pool: ConnectionPool, audit: Audit, context: Context) -> None:
    """Say of each answer whether it names the company."""
    with pool.connection() as connection, connection.cursor() as cursor:
        cursor.execute(
            "select responses.id, responses.text from responses"
            " join queries on query_id = queries.id where audit_id = %s",
            [audit.id],
        )
        cursor.executemany(
            "update responses set mentioned = %s where id = %s",
            [(context.name.lower() in text.lower(), key) for key, text in cursor.fetchall()],
        )
