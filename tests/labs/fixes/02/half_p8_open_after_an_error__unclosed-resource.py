"""Closes the pool unless an error leaves the `async with`."""

import functools

from psycopg_pool import AsyncConnectionPool


def transactional(function):
    """Give the method a connection of the pool as its first argument, in a transaction."""

    @functools.wraps(function)
    async def wrapper(self, *args):
        async with self.pool.connection() as connection:
            return await function(self, connection, *args)

    return wrapper


class Audits:
    def __init__(self, dsn, *, size=4):
        self.pool = AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False, name="audits")

    async def __aenter__(self):
        await self.pool.open()
        return self

    async def __aexit__(self, *exc):
        if exc[0] is None:
            await self.pool.close()

    @transactional
    async def load(self, connection, audit):
        rows = await (
            await connection.execute(
                "select companies.id, name, queries.id, queries.text from audits"
                " join companies on companies.id = company_id join queries on audit_id = audits.id"
                " where audits.id = %s",
                [audit],
            )
        ).fetchall()
        return rows

    @transactional
    async def store(self, connection, audit, company, rows):
        count = sum(mentioned for _, _, mentioned in rows)
        async with connection.cursor() as cursor:
            await cursor.executemany("insert into responses values (%s, %s, %s)", rows)
            await cursor.execute(
                "update audits set (status, mentions) = ('done', %s) where id = %s", [count, audit]
            )
            await cursor.execute(
                "update companies set (audits_done, mentions) = (audits_done + 1, mentions + %s) where id = %s",
                [count, company],
            )
        return count

    async def run(self, audit, ask):
        rows = await self.load(audit)
        answers = [(query, await ask(text)) for _, _, query, text in rows]
        found = [(query, answer, name_in(rows[0][1], answer)) for query, answer in answers]
        return await self.store(audit, rows[0][0], found)


def name_in(name, answer):
    return name.lower() in answer.lower()
