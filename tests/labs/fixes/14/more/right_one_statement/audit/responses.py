"""What was answered, and whether it names the company."""

from collections.abc import Sequence
from dataclasses import asdict, replace

from psycopg.types.json import Jsonb

from .companies import Context
from .models import Response


def analyze_responses(context: Context, responses: Sequence[Response]) -> list[Response]:
    """Say of each answer whether it names the company."""
    name = context.name.lower()
    return [
        one if one.text is None else replace(one, mentioned=name in one.text.lower())
        for one in responses
    ]


def store_responses(responses: Sequence[Response]) -> Jsonb:
    """Return the answers as the statement takes them that stores an audit."""
    return Jsonb([asdict(one) for one in responses])
