"""Lesson 13: migrating a code base that is half sync, half async to async, a package at a time.

Limit: 1,929 lines, because its lab is a package of five methods with ten promises: it is judged
at PostgreSQL in six scenes (`check`, `check_billing`), by its own tests, which run on mutants in a process
of their own, and by what the scanner says of it, which is held against what was measured (`static_check`).
"""

from loopclinic.lessons.catalogue import Lesson, graded, words

LESSON = Lesson(
    number="13",
    stem="standardize",
    title="Half sync, half async, and all checks pass",
    summary="A half-migrated code base: what four searches find in it, and one package migrated completely.",
    minutes=40,
    conflicts=words(
        "unawaited-coroutine blocking-db pool-starvation executor-saturation loop-per-call "
        "swallowed-cancellation too-many-connections sequential-awaits transaction-left-open "
        "unclosed-resource"
    ),
    requires=("02",),
    services=("postgres",),
    public=words(
        "open_billing BillingError InvoiceNotFound AlreadyPaid Overpaid DuplicatePayment "
        "InvalidInvoice BillingUnavailable Invoice InvoiceLine Payment"
    ),
    hints=graded("""
        What should decide where a transaction begins and ends: the repository, which sees single statements,
        or the service, which knows what belongs together? Give the service one context manager, and the
        repository a connection instead of a pool.

        `async with transaction() as invoices:` takes a connection, commits at the end, rolls back on every
        exception, CancelledError among them, and turns the driver's errors into yours. `charge` needs it
        twice, with the gateway in between. In the tests, pass in a fake whose methods create_autospec makes,
        and await them.

        `async with pool.connection() as connection: yield InvoiceRepository(connection)` in an
        @asynccontextmanager, on psycopg_pool's AsyncConnectionPool, inside `try: ... except psycopg.Error as
        error: raise translated(error) from error`. In record_payment, read the invoice `for update`. In
        issue, next_number and add share one transaction.
    """),
    deadline=30.0,
)
