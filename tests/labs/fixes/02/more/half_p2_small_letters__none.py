"""Stores the answers in small letters."""

import asyncio
from contextlib import asynccontextmanager

from psycopg import AsyncConnection


class Connections:
    """At most `size` connections, opened when needed, the last used first."""

    def __init__(self, dsn, size):
        self.dsn, self.idle, self.places = dsn, [], asyncio.Semaphore(size)

    @asynccontextmanager
    async def one(self):
        async with self.places:
            connection = self.idle.pop() if self.idle else await AsyncConnection.connect(self.dsn)
            try:
                async with connection.transaction():
                    yield connection
            finally:
                if connection.closed:
                    await connection.close()
                else:
                    await connection.commit()
                    self.idle.append(connection)

    async def close(self):
        while self.idle:
            await self.idle.pop().close()


class Audits:
    def __init__(self, dsn, *, size=4):
        self.connections = Connections(dsn, size)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.connections.close()

    async def run(self, audit, ask):
        company, name, queries = await self.load(audit)
        rows = []
        for query, text in queries:
            answer = await ask(text)
            rows.append((query, answer.strip().lower(), name.casefold() in answer.casefold()))
        await self.store(audit, company, rows)
        return sum(row[2] for row in rows)

    async def load(self, audit):
        async with self.connections.one() as connection:
            cursor = await connection.execute(
                "select c.id, c.name from companies c join audits a on a.company_id = c.id where a.id = %s",
                [audit],
            )
            company, name = await cursor.fetchone()
            cursor = await connection.execute(
                "select id, text from queries where audit_id = %s", [audit]
            )
            return company, name, await cursor.fetchall()

    async def store(self, audit, company, rows):
        mentions = sum(row[2] for row in rows)
        async with self.connections.one() as connection:
            async with connection.cursor() as cursor:
                await cursor.executemany("insert into responses values (%s, %s, %s)", rows)
            await connection.execute(
                "update audits set status = 'done', mentions = %s where id = %s", [mentions, audit]
            )
            await connection.execute(
                "update companies set audits_done = audits_done + 1, mentions = mentions + %s where id = %s",
                [mentions, company],
            )
