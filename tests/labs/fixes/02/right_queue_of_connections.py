"""A small pool of its own: psycopg connections in a queue."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from psycopg import AsyncConnection

Ask = Callable[[str], Awaitable[str]]


class Audits:
    def __init__(self, dsn: str, *, size: int = 4) -> None:
        self.dsn, self.size = dsn, size
        self.free: asyncio.Queue[AsyncConnection] = asyncio.Queue()

    async def __aenter__(self):
        for _ in range(self.size):
            self.free.put_nowait(await AsyncConnection.connect(self.dsn))
        return self

    async def __aexit__(self, *_):
        for _ in range(self.size):
            await (await self.free.get()).close()

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[AsyncConnection]:
        connection = await self.free.get()
        try:
            async with connection.transaction():
                yield connection
        finally:
            if connection.closed:
                connection = await AsyncConnection.connect(self.dsn)
            self.free.put_nowait(connection)

    async def run(self, audit: int, ask: Ask) -> int:
        async with self.unit() as connection:
            rows = await (
                await connection.execute(
                    "select company_id, name, queries.id, queries.text from audits"
                    " join companies on companies.id = company_id"
                    " join queries on audit_id = audits.id where audits.id = %s",
                    [audit],
                )
            ).fetchall()
        found = []
        for company, name, query, text in rows:
            answer = await ask(text)
            found.append((query, answer, name.casefold() in answer.casefold()))
        mentions = sum(mentioned for *_, mentioned in found)
        async with self.unit() as connection:
            for response in found:
                await connection.execute("insert into responses values (%s, %s, %s)", response)
            await connection.execute(
                "update audits set status = 'done', mentions = %s where id = %s", (mentions, audit)
            )
            await connection.execute(
                "update companies set audits_done = audits_done + 1, mentions = mentions + %s"
                " where id = %s",
                (mentions, company),
            )
        return mentions
