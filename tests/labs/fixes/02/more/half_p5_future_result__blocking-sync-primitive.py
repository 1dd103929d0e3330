"""Runs the query on a thread and blocks the loop on `future.result()`."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from psycopg import Connection
from psycopg_pool import ConnectionPool

Ask = Callable[[str], Awaitable[str]]

COMPANY = """
    select companies.id, name from companies join audits on company_id = companies.id
    where audits.id = %s
"""


class Audits:
    def __init__(self, dsn: str, *, size: int = 4) -> None:
        self.pool = ConnectionPool(dsn, min_size=1, max_size=size, open=False)
        self.threads = ThreadPoolExecutor(size, thread_name_prefix="audits")
        self.cancels = ThreadPoolExecutor(1, thread_name_prefix="audits-cancel")

    async def __aenter__(self):
        self.pool.open()
        return self

    async def __aexit__(self, *_):
        await asyncio.get_running_loop().run_in_executor(self.cancels, self.pool.close)
        self.threads.shutdown(wait=False)
        self.cancels.shutdown(wait=False)

    async def run(self, audit: int, ask: Ask) -> int:
        company, name, queries = await self.unit(load, audit)
        responses = []
        for query, text in queries:
            answer = await ask(text)
            responses.append((query, answer, name.lower() in answer.lower()))
        mentions = sum(mentioned for _, _, mentioned in responses)
        await self.unit(store, audit, company, responses, mentions)
        return mentions

    async def unit(self, work, *values):
        return self.threads.submit(self.on_thread, work, values).result()

    def on_thread(self, work, values):
        with self.pool.connection() as connection:
            return work(connection, *values)


def load(connection: Connection, audit: int):
    company, name = connection.execute(COMPANY, [audit]).fetchone()
    query = "select id, text from queries where audit_id = %s"
    return company, name, connection.execute(query, [audit]).fetchall()


def store(connection: Connection, audit: int, company: int, responses, mentions: int) -> None:
    with connection.cursor() as cursor:
        cursor.executemany("insert into responses values (%s, %s, %s)", responses)
        cursor.execute(
            "update audits set status = 'done', mentions = %s where id = %s", [mentions, audit]
        )
        cursor.execute(
            "update companies set audits_done = audits_done + 1, mentions = mentions + %s"
            " where id = %s",
            [mentions, company],
        )
