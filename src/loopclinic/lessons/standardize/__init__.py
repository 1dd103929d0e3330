"""Lesson 13: a code base half sync, half async, made one of a kind, a package at a time."""

from loopclinic.lessons.lesson import Lesson

__all__ = ["LESSON"]

LESSON = Lesson(
    number="13",
    stem="standardize",
    title="Half sync, half async, and all checks pass",
    summary="A code base of two minds: what four searches find in it, and one package migrated whole.",
    minutes=40,
    conflicts=(
        "unawaited-coroutine",
        "blocking-db",
        "pool-starvation",
        "executor-saturation",
        "loop-per-call",
        "swallowed-cancellation",
        "too-many-connections",
        "sequential-awaits",
        "transaction-left-open",
        "unclosed-resource",
    ),
    requires=("02",),
    services=("postgres",),
    public=(
        "open_billing",
        "BillingError",
        "InvoiceNotFound",
        "AlreadyPaid",
        "Overpaid",
        "DuplicatePayment",
        "InvalidInvoice",
        "BillingUnavailable",
        "Invoice",
        "InvoiceLine",
        "Payment",
    ),
    hints=(
        (
            "Who decides where a transaction begins and ends: the repository, which knows one "
            "statement, or the service, which knows what belongs together? Give the service one "
            "context manager, and the repository a connection instead of a pool."
        ),
        (
            "`async with transaction() as invoices:` takes a connection, commits at the end, rolls "
            "back on every exception, CancelledError among them, and turns the driver's errors into "
            "yours. `charge` needs it twice, with the gateway in between. In the tests, hand in a "
            "fake of the same shape, its methods by create_autospec, and await them."
        ),
        (
            "`async with pool.connection() as connection: yield InvoiceRepository(connection)` in an "
            "@asynccontextmanager, on psycopg_pool's AsyncConnectionPool, inside `try: ... except "
            "psycopg.Error as error: raise translated(error) from error`. In record_payment, read "
            "the invoice `for update`. In issue, next_number and add share one transaction."
        ),
    ),
    deadline=30.0,
)
