"""The language models."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .companies import Query


class Provider(Protocol):
    """A language model; it refuses more than `limit` queries at a time."""

    name: str
    limit: int

    async def ask(self, query: str) -> str:
        """Return its answer."""
        ...


@dataclass(frozen=True)
class Response:
    """What a provider answered to a query, or why not."""

    query: int
    provider: str
    text: str | None
    error: str | None


class NoAnswerError(Exception):
    """No query of an audit was answered."""


class Limits:
    """Who may ask now: so many at a time as each provider allows."""

    def __init__(self, providers: Sequence[Provider], timeout: float) -> None:
        self.providers = providers
        self.timeout = timeout
        self.places = {one.name: asyncio.Semaphore(one.limit) for one in providers}


async def execute_queries(queries: Sequence[Query], limits: Limits) -> list[Response]:
    """Ask each provider each query."""

    async def ask(provider: Provider, query: Query) -> str:
        async with limits.places[provider.name]:
            return await asyncio.wait_for(provider.ask(query.text), limits.timeout)

    pairs = [(query, provider) for provider in limits.providers for query in queries]
    found = await asyncio.gather(
        *(ask(provider, query) for query, provider in pairs), return_exceptions=True
    )
    responses = [
        Response(query.id, provider.name, one, None)
        if isinstance(one, str)
        else Response(query.id, provider.name, None, repr(one) or "no answer")
        for (query, provider), one in zip(pairs, found, strict=True)
    ]
    if not any(one.text for one in responses):
        raise NoAnswerError(responses[0].error)
    return responses
