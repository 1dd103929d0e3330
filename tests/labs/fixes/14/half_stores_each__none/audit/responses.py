"""What was answered, and whether it names the company."""

from collections.abc import Sequence
from dataclasses import replace

from psycopg import AsyncConnection

from .companies import Context
from .jobs import Audit
from .models import Response

RESPONSE = """
    update final_responses set mentioned = %s where audit_id = %s and query = %s and provider = %s
"""


def analyze_responses(context: Context, responses: Sequence[Response]) -> list[Response]:
    """Say of each answer whether it names the company."""
    name = context.name.lower()
    return [
        one if one.text is None else replace(one, mentioned=name in one.text.lower())
        for one in responses
    ]


async def store_responses(
    connection: AsyncConnection, audit: Audit, responses: Sequence[Response]
) -> None:
    """Store the answers, in the caller's transaction."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            RESPONSE,
            [(one.mentioned, audit.id, one.query, one.provider) for one in responses],
        )
