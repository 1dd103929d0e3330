"""The job: takes audits until none is queued."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from .companies import company_context, generate_queries
from .jobs import Audit, handle_failure, is_cancelled, take_audit
from .models import Model, Provider, execute_queries
from .responses import analyze_responses, store_responses
from .scoring import Score, calculate_scores

COMPLETED = """
    update audits set status = 'completed', score = %s, low = %s, high = %s
    where id = %s
"""
COUNTED = """
    update companies set audits_done = audits_done + 1, queries_asked = queries_asked + %s
    where id = %s
"""


class AuditCancelledError(Exception):
    """Somebody cancelled the audit."""


@asynccontextmanager
async def open_processor(
    dsn: str,
    providers: Sequence[Provider],
    *,
    size: int = 4,
    timeout: float = 5.0,  # noqa: ASYNC109 - a query's, not the call's
    resamples: int = 1000,
) -> "AsyncIterator[Processor]":
    """Give a processor with at most `size` connections; a provider has `timeout` seconds to answer."""
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield Processor(pool, [Model(one, timeout) for one in providers], resamples)


class Processor:
    """Processes audits."""

    def __init__(self, pool: AsyncConnectionPool, models: Sequence[Model], resamples: int) -> None:
        self.pool = pool
        self.models = models
        self.resamples = resamples

    async def run(self, at_once: int = 30) -> int:
        """Process what is queued, so many audits at once; return how many there were."""
        places, taken = asyncio.Semaphore(at_once), 0
        async with asyncio.TaskGroup() as group:  # cancels them, and waits, if `run` is cancelled
            while True:
                await places.acquire()
                audit = await take_audit(self.pool)
                if audit is None:
                    return taken
                taken += 1
                task = group.create_task(self.process(audit))
                task.add_done_callback(lambda _: places.release())

    async def process(self, audit: Audit) -> None:
        """Process an audit: nothing of it is stored before its unit of work."""
        try:
            context = await company_context(self.pool, audit)
            queries = await generate_queries(self.pool, context)
            await self.expect_running(audit)
            responses = await execute_queries(queries, self.models)
            await self.expect_running(audit)
            responses = analyze_responses(context, responses)
            score = await calculate_scores(responses, self.resamples)
            async with self.pool.connection() as connection:
                await store_responses(connection, audit, responses)
                await finalize_audit(connection, audit, score, len(queries))
        except AuditCancelledError:
            pass  # and nothing of it was stored
        except Exception as error:
            await handle_failure(self.pool, audit, error)

    async def expect_running(self, audit: Audit) -> None:
        """Raise AuditCancelledError if it was cancelled."""
        if await is_cancelled(self.pool, audit):
            raise AuditCancelledError(audit.id)


async def finalize_audit(
    connection: AsyncConnection, audit: Audit, score: Score, queries: int
) -> None:
    """Complete the audit, in the caller's transaction.

    Raises:
        AuditCancelledError: it was cancelled.
    """
    done = await connection.execute(COMPLETED, [*score, audit.id])
    if not done.rowcount:
        raise AuditCancelledError(audit.id)
    # Last, because its lock is the one that others wait for.
    await connection.execute(COUNTED, [queries, audit.company])
