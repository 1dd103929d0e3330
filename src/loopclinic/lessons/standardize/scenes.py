"""What the notebook needs: the harbor's database, what it calls, and what its stalls were."""

from contextlib import asynccontextmanager
from unittest.mock import AsyncMock

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from loopclinic.lessons.drawing import Drawing, stalled
from loopclinic.lessons.kernel_database import KernelDatabase
from loopclinic.lessons.prediction import Prediction
from loopclinic.lessons.standardize import LESSON
from loopclinic.lessons.standardize.books import lay_out
from loopclinic.lessons.standardize.examined import examined
from loopclinic.lessons.standardize.ladder import (
    AsyncInvoices,
    BillingError,
    Invoices,
    Overpaid,
)
from loopclinic.lessons.standardize.on_broken import on_broken
from loopclinic.lessons.standardize.searches import gate, plan, survey
from loopclinic.lessons.standardize.serving import INVOICES, opened, served
from loopclinic.load import Vitals, compare

__all__ = [
    "BILLING",
    "AsyncConnectionPool",
    "AsyncInvoices",
    "AsyncMock",
    "BillingError",
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


def _fill(dsn: str) -> None:
    lay_out(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "insert into invoice (number, booking_id, customer_id, issued_on, due_on)"
            " select '2030-' || n, n, 1, '2030-05-01', '2030-05-15' from generate_series(1, %s) n",
            [INVOICES],
        )
        connection.execute(
            "insert into invoice_line (invoice_id, description, quantity, unit_cents)"
            " select id, 'a season', 1, 100000000 from invoice"
        )


harbor = KernelDatabase("moorings", _fill).address
"""`await harbor()` gives the address of a database with open invoices; it ends with the kernel."""


def stalls(vitals: Vitals) -> Drawing:
    """Say what the load did to the loop, in the figures that matter."""
    return stalled(vitals, ", waiting", last="payment")
