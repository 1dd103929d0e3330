"""What the notebook needs: the harbor's database, a way to serve each rung, and what its stalls were."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from loopclinic.lessons.drawing import Drawing, span
from loopclinic.lessons.kernel_database import KernelDatabase
from loopclinic.lessons.prediction import Prediction
from loopclinic.lessons.standardize import LESSON
from loopclinic.lessons.standardize.books import lay_out
from loopclinic.lessons.standardize.examined import examined
from loopclinic.lessons.standardize.ladder import (
    AsyncInvoices,
    BillingUnavailable,
    Invoices,
    Overpaid,
)
from loopclinic.lessons.standardize.on_broken import on_broken
from loopclinic.lessons.standardize.searches import gate, plan, survey
from loopclinic.load import Request, Variant, Vitals, compare

__all__ = [
    "BILLING",
    "AsyncConnectionPool",
    "AsyncInvoices",
    "AsyncMock",
    "BillingUnavailable",
    "ConnectionPool",
    "Invoices",
    "Overpaid",
    "Prediction",
    "asynccontextmanager",
    "compare",
    "examined",
    "gate",
    "harbor",
    "on_broken",
    "opened",
    "plan",
    "psycopg",
    "served",
    "stalls",
    "survey",
]

assert LESSON.shipped is not None
BILLING = LESSON.shipped / "billing"
"""The package of the lab, as it ships."""
_CONNECTIONS = 10
_INVOICES = 40


def _fill(dsn: str) -> None:
    lay_out(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "insert into invoice (number, booking_id, customer_id, issued_on, due_on)"
            " select '2030-' || n, n, 1, '2030-05-01', '2030-05-15' from generate_series(1, %s) n",
            [_INVOICES],
        )
        connection.execute(
            "insert into invoice_line (invoice_id, description, quantity, unit_cents)"
            " select id, 'a season', 1, 100000000 from invoice"
        )


harbor = KernelDatabase("moorings", _fill).address
"""`await harbor()` gives the address of a database with open invoices; it ends with the kernel."""


@asynccontextmanager
async def opened(way: Any, dsn: str) -> AsyncIterator[Any]:
    """Open the pool that `way` asks for by its annotation, and give `way(pool)`."""
    kind = next(iter(inspect.signature(way).parameters.values())).annotation
    if kind in (AsyncConnectionPool, "AsyncConnectionPool"):
        async with AsyncConnectionPool(dsn, min_size=2, max_size=_CONNECTIONS, open=False) as pool:
            await pool.wait()
            yield way(pool)
    else:
        blocking = ConnectionPool(dsn, min_size=2, max_size=_CONNECTIONS, open=False)
        await asyncio.to_thread(blocking.open, wait=True)
        try:
            yield way(blocking)
        finally:
            await asyncio.to_thread(blocking.close)


def served(way: Any, dsn: str) -> Variant:
    """Return payments by `way(pool).record` as something to put under load."""

    @asynccontextmanager
    async def service() -> AsyncIterator[Any]:
        async with opened(way, dsn) as one:
            yield one

    async def handle(request: Request) -> None:
        await request.state.record(1 + request.number % _INVOICES, 1, str(uuid4()))

    return Variant(handle, name=way.__name__, setup=service)


def stalls(vitals: Vitals) -> Drawing:
    """Say what the load did to the loop."""
    worst = max(vitals.stalls, key=lambda one: one.seconds, default=None)
    line = f" The line: <code>{worst.code}</code>" if worst is not None and worst.code else ""
    words = (
        f"The loop was busy {vitals.utilization or 0:.0%} of the time, waiting. An event waited "
        f"{span(vitals.lag.p99)} for it (p99), and the last payment {span(vitals.latency.max)}."
    )
    return Drawing(f"<p>{words}{line}</p>", words)
