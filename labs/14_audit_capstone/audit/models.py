"""The language models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from psycopg_pool import ConnectionPool

from .companies import Query
from .jobs import Audit


class Provider(Protocol):
    """A language model; it refuses more than `limit` queries at a time."""

    name: str
    limit: int

    async def ask(self, query: str) -> str:
        """Return its answer."""
        ...


@dataclass(frozen=True)
class Response:
    """What a provider answered to a query."""

    query: int
    provider: str
    text: str


async def execute_queries(
    pool: ConnectionPool, audit: Audit, queries: Sequence[Query], providers: Sequence[Provider]
) -> list[Response]:
    """Ask each provider each query, and count the queries for the company."""
    responses = []
    with pool.connection() as connection, connection.cursor() as cursor:
        cursor.execute(
            "update companies set queries_asked = queries_asked + %s where id = %s",
            [len(queries), audit.company],
        )
        for query in queries:
            for provider in providers:
                text = await provider.ask(query.text)
                responses.append(Response(query.id, provider.name, text))
    return responses
