"""The job: takes audits until none is queued."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from psycopg_pool import ConnectionPool

from .companies import company_context, generate_queries
from .jobs import Audit, handle_failure, is_cancelled, take_audit
from .models import Provider, execute_queries
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
    with ConnectionPool(dsn, min_size=1, max_size=size, open=True) as pool:
        yield Processor(pool, providers, timeout, resamples)


class Processor:
    """Processes audits."""

    def __init__(
        self, pool: ConnectionPool, providers: Sequence[Provider], timeout: float, resamples: int
    ) -> None:
        self.pool = pool
        self.providers = providers
        self.timeout = timeout
        self.resamples = resamples

    async def run(self, at_once: int = 30) -> int:
        """Process what is queued, so many audits at once; return how many there were."""
        running: set[asyncio.Task[None]] = set()
        taken = 0
        while True:
            while len(running) < at_once and (audit := await take_audit(self.pool)):
                running.add(asyncio.create_task(self.process(audit)))
                taken += 1
            if not running:
                return taken
            _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)

    async def process(self, audit: Audit) -> None:
        """Process an audit."""
        try:
            context = await company_context(self.pool, audit)
            queries = await generate_queries(self.pool, audit, context)
            if await is_cancelled(self.pool, audit):
                return
            responses = await execute_queries(self.pool, audit, queries, self.providers)
            if await is_cancelled(self.pool, audit):
                return
            await store_responses(self.pool, responses)
            await analyze_responses(self.pool, audit, context)
            await calculate_scores(self.pool, audit, self.resamples)
            await finalize_audit(self.pool, audit)
        except Exception as error:
            await handle_failure(self.pool, audit, error)


async def finalize_audit(pool: ConnectionPool, audit: Audit) -> None:
    """Move the responses to `final_responses`, and complete the audit."""

    def work() -> None:
        with pool.connection() as connection, connection.cursor() as cursor:
            cursor.execute(
                "insert into final_responses (audit_id, query, provider, text, mentioned)"
                " select audit_id, queries.text, provider, responses.text, mentioned"
                " from responses join queries on query_id = queries.id where audit_id = %s",
                [audit.id],
            )
            cursor.execute(
                "delete from responses using queries where query_id = queries.id and audit_id = %s",
                [audit.id],
            )
            cursor.execute("delete from queries where audit_id = %s", [audit.id])
            cursor.execute("update audits set status = 'completed' where id = %s", [audit.id])
            cursor.execute(
                "update companies set audits_done = audits_done + 1 where id = %s", [audit.company]
            )

    return await asyncio.to_thread(work)
