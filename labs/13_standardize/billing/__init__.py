"""Lab 13: one package, standardized.

The billing package of Moorings (data/samples/moorings), copied here to be migrated. Its service
became asynchronous when the API did; its repository did not. Migrate it: the service, the repository,
a transaction as a context manager, our own errors instead of the driver's, and the tests.

What the package must do when you are done:

1. `async with open_billing(dsn, gateway, size=4) as billing` gives a `BillingService`. There are at
   most `size` connections, which calls at the same time use at the same time; when the block ends,
   no connections and no tasks are left.
2. `get`, `issue`, `record_payment`, `charge` and `statement` are async, return what they return
   now, and raise InvoiceNotFound for an invoice that does not exist. No method runs its own event
   loop: remove `charge_now`.
3. The event loop never waits for the database, and `asyncio.to_thread` stays free for others.
   Your own threads, around a whole unit of work, are fine if they keep promise 7.
4. `issue` is one transaction, `record_payment` is one. Nobody ever sees part of an invoice; a call
   that fails or is cancelled leaves nothing behind, and no gap in the numbers.
5. The payments of an invoice never exceed its total, even if two arrive at once: the second raises
   AlreadyPaid or Overpaid.
6. While `charge` asks the gateway, it holds no connection, no transaction and no lock. An error of
   the gateway reaches the caller, and nothing is booked.
7. When cancelled, a call ends at once with CancelledError. Soon after, PostgreSQL has no trace of it.
8. Every error of the database or its driver is raised as a BillingError, with the driver's error
   as its `__cause__`: `DuplicatePayment` for a reference booked before, `InvalidInvoice` for a line
   that breaks a constraint of the tables, `BillingUnavailable` if the database goes away.
9. `pytest` passes in this folder, needs no database, and awaits what it tests. It fails for a
   service that returns None for an unknown invoice, that swallows an Overpaid, that swallows what
   the gateway raises, or whose `charge` does nothing.
10. `loopclinic scan billing --min-confidence likely` finds no conflict. Without that option it also
    shows hints, which are not judged.

Keep these names: `open_billing`, `BillingService` and its five methods, the errors, and `Invoice`,
`InvoiceLine`, `Payment`. Files, constructors and the driver are yours to choose: psycopg,
psycopg_pool and asyncpg are installed. Tables: data/samples/moorings/schema.sql.

How it is judged: `loopclinic check 13`, or `loopclinic watch 13` for a verdict on every save. The
check drives the package, asks PostgreSQL what it sees, runs your tests, four times more on a service
that is broken on purpose, and runs the scanner with the option of 10. What it tolerates:

- 1: `open_billing` may take 4 s to open and 1.5 s to close, and two opened together in one process no
  longer. It is enough if half of the connections are at work at the same time.
- 2: a call over a connection with a round trip of 80 ms gets 3 s, any other 2 s.
- 3: on that connection, the loop may be stopped for 50 % of a round trip; longer stops may add up to
  less than three round trips. `asyncio.to_thread` gets a thread within 250 ms.
- 6: ten charges get 1.2 s until all ask, two of one invoice 0.8 s. The gateway's error may come
  in a group.
- 7: a cancelled call gets 500 ms to end, and PostgreSQL as long to forget it; the next calls get 1.2 s.
- 8: after the database went away, three calls may fail. What you refuse before the database does
  needs no `__cause__`. For a number too large for its column, any BillingError will do.
- 9: tests that make no progress for 10 s are stopped.

If waiting for the slow connection (3) stops the loop, what needs locks is not tried.
"""

from .errors import (
    AlreadyPaid,
    BillingError,
    BillingUnavailable,
    DuplicatePayment,
    InvalidInvoice,
    InvoiceNotFound,
    Overpaid,
)
from .models import Invoice, InvoiceLine, InvoiceStatus, Payment
from .service import BillingService
from .wiring import open_billing

__all__ = [
    "AlreadyPaid",
    "BillingError",
    "BillingService",
    "BillingUnavailable",
    "DuplicatePayment",
    "InvalidInvoice",
    "Invoice",
    "InvoiceLine",
    "InvoiceNotFound",
    "InvoiceStatus",
    "Overpaid",
    "Payment",
    "open_billing",
]
