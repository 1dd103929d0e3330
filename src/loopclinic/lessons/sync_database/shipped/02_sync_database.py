"""Lab 02: the job that never ends and never fails.

`Audits` runs brand audits: it asks a language model the queries of an audit and stores the answers.
A single audit works. With several, the job sometimes stops: no error, no CPU use, no log. Fix that.

What `await audits.run(audit, ask)` must do when you are done:

1. It asks each query of the audit, `await ask(text)`, once, and returns how many of the answers
   name the company, in capitals or not.
2. It stores, in one transaction: a row in `responses` for each query; the audit's `mentions`, its
   `status` 'done'; and it adds 1 and the mentions to the company's `audits_done` and `mentions`.
3. While it asks, it holds no connection, no transaction and no lock: however many audits are
   running, all of them can ask at the same time, including those of one company.
4. There are at most `size` connections. They are reused for further audits, and all of them are
   used while audits have work for the database.
5. The event loop never waits for the database, and `asyncio.to_thread` stays free for others.
6. If `ask` raises, `run` raises that error, by itself or in an ExceptionGroup, and nothing of the
   audit is stored.
7. When cancelled, it ends at once with CancelledError. Soon after, PostgreSQL has no trace of it:
   no open transaction, no lock, no row. Its connection serves the next audit.
8. After `async with` ends, no connections and no tasks are left.

Keep these names and signatures: `Audits`, `run`. The rest is yours to change, including the
driver: psycopg, psycopg_pool and asyncpg are installed. Tables: data/sync_database/schema.sql.

How it is judged: `loopclinic check 02`, or `loopclinic watch 02` for a verdict on every save.
The check asks PostgreSQL about sessions, transactions and locks. All audits must have asked within
1.2 s. It is enough if half of the `size` connections are at work at one moment; up to twice `size` may
be opened in all, since some are lost. With a round trip of 80 ms, the loop may be blocked for 50 % of
one. `asyncio.to_thread` must get a thread within 250 ms while the database keeps others waiting. A
cancelled audit has 500 ms to end, and PostgreSQL another 500 ms to forget it. The check stops a hang.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self

from psycopg import Cursor
from psycopg_pool import ConnectionPool

Ask = Callable[[str], Awaitable[str]]

COMPANY = """
    select companies.id, name from companies join audits on company_id = companies.id
    where audits.id = %s for update of companies
"""
QUERIES = "select id, text from queries where audit_id = %s order by id"
RESPONSE = "insert into responses (query_id, text, mentioned) values (%s, %s, %s)"
DONE = "update audits set status = 'done', mentions = %s where id = %s"
COUNTED = """
    update companies set audits_done = audits_done + 1, mentions = mentions + %s where id = %s
"""


class Audits:
    """Runs audits, with at most `size` connections to the database at `dsn`."""

    def __init__(self, dsn: str, *, size: int = 4) -> None:
        self.pool = ConnectionPool(dsn, min_size=1, max_size=size, open=False)

    async def __aenter__(self) -> Self:
        self.pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.pool.close()

    async def run(self, audit: int, ask: Ask) -> int:
        """Run the audit with this id, and return how many answers name its company."""
        async with self._transaction() as cursor:
            company, name = load_company(cursor, audit)
            mentions = 0
            for query, text in load_queries(cursor, audit):
                answer = await ask(text)
                mentioned = name.lower() in answer.lower()
                mentions += mentioned
                store_response(cursor, query, answer, mentioned)
            finish(cursor, audit, company, mentions)
            return mentions

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Cursor]:
        """Give a cursor; commit at the end, roll back after an error."""
        connection = self.pool.getconn()
        try:
            yield connection.cursor()
        except Exception:
            connection.rollback()
            self.pool.putconn(connection)
            raise
        connection.commit()
        self.pool.putconn(connection)


def load_company(cursor: Cursor, audit: int) -> tuple[int, str]:
    """Return the company's id and name, locked, so that nobody else counts its mentions."""
    cursor.execute(COMPANY, [audit])
    company, name = next(cursor)
    return company, name


def load_queries(cursor: Cursor, audit: int) -> list[tuple[int, str]]:
    """Return id and text of the audit's queries."""
    cursor.execute(QUERIES, [audit])
    return cursor.fetchall()


def store_response(cursor: Cursor, query: int, answer: str, mentioned: bool) -> None:
    """Store what was answered."""
    cursor.execute(RESPONSE, [query, answer, mentioned])


def finish(cursor: Cursor, audit: int, company: int, mentions: int) -> None:
    """Close the audit, and count it for its company."""
    cursor.execute(DONE, [mentions, audit])
    cursor.execute(COUNTED, [mentions, company])
