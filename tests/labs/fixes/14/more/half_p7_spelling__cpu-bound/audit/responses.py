"""What was answered, and whether it names the company."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

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
    for one in responses:
        for _ in range(100):
            SequenceMatcher(None, one.text or "", name).ratio()
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
            [
                (audit.id, one.query, one.provider, one.text, one.error, one.mentioned)
                for one in responses
            ],
        )
