"""The job of lesson 14 in three finished designs: thread twins, an async driver, one unit of work."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from psycopg_pool import AsyncConnectionPool, ConnectionPool

Ask = Callable[[], Awaitable[list[str]]]
Audit = Callable[[int, Ask], Awaitable[None]]

SIZE = 4
"""Connections of each design."""
COSTS = {
    "thread_twins": "a thread for each connection in use; a cancel does not reach it",
    "async_driver": "await in every caller; an error in the middle leaves what was stored before",
    "one_unit": "the same, and ten functions that agree on what is stored together",
}
"""What each asks in return."""

# What each function asks of PostgreSQL, with the audit's number as %s.
TAKE = "update audits set status = 'running' where id = %s"
CANCELLED = "select status = 'cancelled' from audits where id = %s"
CONTEXT = (
    "select name, industry from companies where id = (select company_id from audits where id = %s)"
)
COMPETITORS = (
    "select name from competitors where company_id = (select company_id from audits where id = %s)"
)
QUERY = "insert into queries (audit_id, text) select %s, text from questions"
RESPONSE = (
    "insert into responses (query_id, provider, text)"
    " select id, 'a model', 'an answer' from queries where audit_id = %s"
)
ANALYZE = (
    "update responses set mentioned = true where query_id in"
    " (select id from queries where audit_id = %s)"
)
SCORE = "update audits set score = 1, low = 1, high = 1 where id = %s"
MOVE = (
    "insert into final_responses (audit_id, query, provider, text, mentioned)"
    " select audit_id, queries.text, provider, responses.text, mentioned"
    " from responses join queries on query_id = queries.id where audit_id = %s"
)
FORGET = "delete from responses where query_id in (select id from queries where audit_id = %s)"
FORGET_QUERIES = "delete from queries where audit_id = %s"
STORE = (
    "insert into final_responses (audit_id, query, provider, text, mentioned)"
    " select %s, text, 'a model', 'an answer', true from questions"
)
COMPLETE = "update audits set status = 'completed' where id = %s"
COUNT = (
    "update companies set audits_done = audits_done + 1"
    " where id = (select company_id from audits where id = %s)"
)
BEFORE: tuple[Sequence[str], ...] = ((TAKE,), (CONTEXT, COMPETITORS), (QUERY,), (CANCELLED,))
"""Statements of each function before the models are asked."""
AFTER: tuple[Sequence[str], ...] = (
    *((CANCELLED,), (RESPONSE,), (ANALYZE,), (SCORE,)),
    (MOVE, FORGET, FORGET_QUERIES, COMPLETE, COUNT),
)
"""Likewise, afterwards."""


@asynccontextmanager
async def thread_twins(dsn: str) -> AsyncIterator[Audit]:
    """Keep each function, and call it on a thread of the default executor: the team's plan."""

    def function(audit: int, statements: Sequence[str]) -> None:
        with pool.connection() as connection:
            for one in statements:
                connection.execute(one.encode(), [audit])

    async def audit(number: int, ask: Ask) -> None:
        for statements in BEFORE:
            await asyncio.to_thread(function, number, statements)
        await ask()
        for statements in AFTER:
            await asyncio.to_thread(function, number, statements)

    with ConnectionPool(dsn, min_size=SIZE, max_size=SIZE, open=True) as pool:
        await asyncio.to_thread(pool.wait)
        yield audit


@asynccontextmanager
async def async_driver(dsn: str) -> AsyncIterator[Audit]:
    """Keep each function, and await an async driver in it."""

    async def function(audit: int, statements: Sequence[str]) -> None:
        async with pool.connection() as connection:
            for one in statements:
                await connection.execute(one.encode(), [audit])

    async def audit(number: int, ask: Ask) -> None:
        for statements in BEFORE:
            await function(number, statements)
        await ask()
        for statements in AFTER:
            await function(number, statements)

    async with AsyncConnectionPool(dsn, min_size=SIZE, max_size=SIZE, open=False) as pool:
        await pool.wait()
        yield audit


@asynccontextmanager
async def one_unit(dsn: str) -> AsyncIterator[Audit]:
    """Keep in memory what an audit has so far, and store it in one transaction at its end."""

    async def unit(audit: int, statements: Sequence[str]) -> None:
        async with pool.connection() as connection:
            for one in statements:
                await connection.execute(one.encode(), [audit])

    async def audit(number: int, ask: Ask) -> None:
        await unit(number, (TAKE,))
        await unit(number, (CONTEXT, COMPETITORS, CANCELLED))
        await ask()
        await unit(number, (STORE, SCORE, COMPLETE, COUNT))

    async with AsyncConnectionPool(dsn, min_size=SIZE, max_size=SIZE, open=False) as pool:
        await pool.wait()
        yield audit


DESIGNS = (thread_twins, async_driver, one_unit)
