"""The job: takes audits until none is queued."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from psycopg_pool import AsyncConnectionPool

from .companies import company_context, generate_queries
from .jobs import Audit, handle_failure, is_cancelled, remove, take_audit
from .models import Limits, Provider, execute_queries
from .responses import analyze_responses, store_responses
from .scoring import calculate_scores


@asynccontextmanager
async def open_processor(
    dsn: str,
    providers: Sequence[Provider],
    *,
    size: int = 4,
    timeout: float = 5.0,
    resamples: int = 1000,
) -> "AsyncIterator[Processor]":
    """Give a processor with at most `size` connections; a provider has `timeout` seconds to answer."""
    async with AsyncConnectionPool(dsn, min_size=1, max_size=size, open=False) as pool:
        yield Processor(pool, Limits(providers, timeout), resamples)


class Processor:
    """Processes audits."""

    def __init__(self, pool: AsyncConnectionPool, limits: Limits, resamples: int) -> None:
        self.pool = pool
        self.limits = limits
        self.resamples = resamples

    async def run(self, at_once: int = 30) -> int:
        """Process what is queued, so many audits at once; return how many there were."""
        running: set[asyncio.Task[None]] = set()
        taken = 0
        try:
            while True:
                while len(running) < at_once and (audit := await take_audit(self.pool)):
                    running.add(asyncio.create_task(self.process(audit)))
                    taken += 1
                if not running:
                    return taken
                _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def process(self, audit: Audit) -> None:
        """Process an audit."""
        try:
            context = await company_context(self.pool, audit)
            queries = await generate_queries(self.pool, audit, context)
            if await is_cancelled(self.pool, audit):
                return await self.forget(audit)
            responses = await execute_queries(queries, self.limits)
            if await is_cancelled(self.pool, audit):
                return await self.forget(audit)
            await store_responses(self.pool, responses)
            await analyze_responses(self.pool, audit, context)
            await calculate_scores(self.pool, audit, self.resamples)
            if not await finalize_audit(self.pool, audit, len(queries)):
                await self.forget(audit)
        except Exception as error:
            await handle_failure(self.pool, audit, error)

    async def forget(self, audit: Audit) -> None:
        """Remove what a cancelled audit has so far."""
        async with self.pool.connection() as connection, connection.cursor() as cursor:
            await remove(cursor, audit.id)


async def finalize_audit(pool: AsyncConnectionPool, audit: Audit, queries: int) -> bool:
    """Move the responses to `final_responses`, and complete the audit; False if it was cancelled."""
    async with pool.connection() as connection, connection.cursor() as cursor:
        await cursor.execute(
            "update audits set status = 'completed' where id = %s and status = 'running'",
            [audit.id],
        )
        if not cursor.rowcount:
            return False
        await cursor.execute(
            "insert into final_responses (audit_id, query, provider, text, error, mentioned)"
            " select audit_id, queries.text, provider, responses.text, error, mentioned"
            " from responses join queries on query_id = queries.id where audit_id = %s",
            [audit.id],
        )
        await remove(cursor, audit.id)
        await cursor.execute(
            "update companies set audits_done = audits_done + 1,"
            " queries_asked = queries_asked + %s where id = %s",
            [queries, audit.company],
        )
    return True
