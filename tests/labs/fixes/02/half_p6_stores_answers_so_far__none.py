"""Stores what was answered before `ask` raised."""

from collections.abc import Awaitable, Callable
from typing import Self

import asyncpg

Ask = Callable[[str], Awaitable[str]]
Response = tuple[int, str, bool]

COMPANY = """
    select companies.id, name from companies join audits on company_id = companies.id
    where audits.id = $1
"""
QUERIES = "select id, text from queries where audit_id = $1 order by id"
RESPONSE = "insert into responses (query_id, text, mentioned) values ($1, $2, $3)"
DONE = "update audits set status = 'done', mentions = $1 where id = $2"
COUNTED = """
    update companies set audits_done = audits_done + 1, mentions = mentions + $1 where id = $2
"""


class Audits:
    """Runs audits, with `size` connections to the database at `dsn` at most."""

    def __init__(self, dsn: str, *, size: int = 4) -> None:
        self.pool = asyncpg.create_pool(dsn, min_size=1, max_size=size)

    async def __aenter__(self) -> Self:
        await self.pool
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pool.close()

    async def run(self, audit: int, ask: Ask) -> int:
        """Run the audit with this id, and return how many answers name its company."""
        company, name, queries = await self.load(audit)
        responses: list[Response] = []
        for query, text in queries:
            try:
                answer = await ask(text)
            except Exception:
                async with self.pool.acquire() as connection:
                    await connection.executemany(RESPONSE, responses)
                raise
            responses.append((query, answer, name.lower() in answer.lower()))
        await self.store(audit, company, responses)
        return sum(mentioned for _, _, mentioned in responses)

    async def load(self, audit: int) -> tuple[int, str, list[tuple[int, str]]]:
        """Return the company's id and name, and id and text of the audit's queries."""
        async with self.pool.acquire() as connection:
            company = await connection.fetchrow(COMPANY, audit)
            queries = await connection.fetch(QUERIES, audit)
        return company["id"], company["name"], [(query["id"], query["text"]) for query in queries]

    async def store(self, audit: int, company: int, responses: list[Response]) -> None:
        """Store it all, or nothing."""
        mentions = sum(mentioned for _, _, mentioned in responses)
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.executemany(RESPONSE, responses)
            await connection.execute(DONE, mentions, audit)
            # Last, because its lock is the one that others wait for; the sum is PostgreSQL's own.
            await connection.execute(COUNTED, mentions, company)
