"""The pool is filled on the loop, and so is what the first audits need."""

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
        self.pool = ConnectionPool(dsn, min_size=size, max_size=size, open=False)
        self.threads = ThreadPoolExecutor(size, thread_name_prefix="audits")
        self.cancels = ThreadPoolExecutor(1, thread_name_prefix="audits-cancel")

    async def __aenter__(self):
        self.pool.open(wait=True)
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
        """Do a unit of work on a thread; cancelled, end it at PostgreSQL too."""
        loop = asyncio.get_running_loop()
        connections: list[Connection] = []
        cancelled = False

        def on_thread():
            with self.pool.connection() as connection:
                connections.append(connection)
                if cancelled:
                    return None
                return work(connection, *values)

        future = loop.run_in_executor(self.threads, on_thread)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            cancelled = True
            future.cancel()
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise
        finally:
            if cancelled:
                await self.stop(future, connections)

    async def stop(self, future, connections) -> None:
        loop = asyncio.get_running_loop()
        while connections and not self.idle(connections[0]):
            await loop.run_in_executor(self.cancels, connections[0].cancel_safe)
            await asyncio.sleep(0.01)

    @staticmethod
    def idle(connection: Connection) -> bool:
        return connection.closed or connection.info.transaction_status.name == "IDLE"


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
