"""Rolled back after an error; a cancelled task raises none that `except Exception` sees."""

from collections.abc import Awaitable, Callable
from typing import Self

from psycopg_pool import AsyncConnectionPool

Ask = Callable[[str], Awaitable[str]]
Response = tuple[int, str, bool]

COMPANY = """
    select companies.id, name from companies join audits on company_id = companies.id
    where audits.id = %s
"""
QUERIES = "select id, text from queries where audit_id = %s order by id"
RESPONSE = "insert into responses (query_id, text, mentioned) values (%s, %s, %s)"
DONE = "update audits set status = 'done', mentions = %s where id = %s"
COUNTED = """
    update companies set audits_done = audits_done + 1, mentions = mentions + %s where id = %s
"""


class Audits:
    """Runs audits, with `size` connections to the database at `dsn` at most."""

    def __init__(self, dsn: str, *, size: int = 4) -> None:
        self.pool = AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False)

    async def __aenter__(self) -> Self:
        await self.pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pool.close()

    async def run(self, audit: int, ask: Ask) -> int:
        """Run the audit with this id, and return how many answers name its company."""
        company, name, queries = await self.load(audit)
        responses: list[Response] = []
        for query, text in queries:
            answer = await ask(text)
            responses.append((query, answer, name.lower() in answer.lower()))
        await self.store(audit, company, responses)
        return sum(mentioned for _, _, mentioned in responses)

    async def load(self, audit: int) -> tuple[int, str, list[tuple[int, str]]]:
        """Return the company's id and name, and id and text of the audit's queries."""
        async with self.pool.connection() as connection:
            company = await (await connection.execute(COMPANY, [audit])).fetchone()
            queries = await (await connection.execute(QUERIES, [audit])).fetchall()
        return *company, queries

    async def store(self, audit: int, company: int, responses: list[Response]) -> None:
        """Store it all, or nothing."""
        mentions = sum(mentioned for _, _, mentioned in responses)
        connection = await self.pool.getconn()
        try:
            cursor = connection.cursor()
            await cursor.executemany(RESPONSE, responses)
            await cursor.execute(DONE, [mentions, audit])
            await cursor.execute(COUNTED, [mentions, company])
            await connection.commit()
        except Exception:
            await connection.rollback()
            await self.pool.putconn(connection)
            raise
        await self.pool.putconn(connection)
