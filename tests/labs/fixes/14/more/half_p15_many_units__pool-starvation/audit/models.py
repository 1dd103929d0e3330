"""The language models."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from psycopg_pool import AsyncConnectionPool

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
    """What came of a query: a text, or an error."""

    query: str
    provider: str
    text: str | None = None
    error: str | None = None
    mentioned: bool | None = None


class Model:
    """A provider that is asked no more than it allows, and waited for no longer than `timeout`."""

    def __init__(self, provider: Provider, timeout: float) -> None:
        self.provider = provider
        self.timeout = timeout
        self.places = asyncio.Semaphore(provider.limit)

    async def answer(self, query: str) -> Response:
        """Return what came of a query."""
        name = self.provider.name
        async with self.places:
            try:
                # Around the query, not around the wait for a place.
                async with asyncio.timeout(self.timeout):
                    return Response(query, name, await self.provider.ask(query))
            except TimeoutError:
                return Response(query, name, error=f"no answer within {self.timeout:g} s")
            except Exception as error:
                return Response(query, name, error=f"{type(error).__name__}: {error}")


async def execute_queries(
    pool: AsyncConnectionPool, audit: Audit, queries: Sequence[str], models: Sequence[Model]
) -> list[Response]:
    """Ask each model each query, all at once.

    Raises:
        LookupError: none was answered.
    """

    async def ask(model: Model, query: str) -> Response:
        response = await model.answer(query)
        for _ in range(3):  # whether it may go on, after each answer
            async with pool.connection() as connection:
                await connection.execute(
                    "select pg_sleep(0.023) from audits where id = %s", [audit.id]
                )
        return response

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(one, query)) for query in queries for one in models]
    responses = [one.result() for one in asked]
    if all(one.error for one in responses):
        raise LookupError(f"No query was answered: {responses[0].error}")
    return responses
