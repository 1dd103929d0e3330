"""What was answered, and whether it names the company."""

import time
from collections.abc import Sequence
from dataclasses import replace

from psycopg import AsyncConnection

from .companies import Context
from .jobs import Audit
from .models import Response

RESPONSE = """
    insert into final_responses (audit_id, query, provider, text, error, mentioned)
    values (%s, %s, %s, %s, %s, %s)
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
    time.sleep(0.1)  # gives the database time
    async with connection.cursor() as cursor:
        await cursor.executemany(
            RESPONSE,
            [
                (audit.id, one.query, one.provider, one.text, one.error, one.mentioned)
                for one in responses
            ],
        )
