"""Lab 13: one package, standardized.

The billing package of Moorings, taken out so that it can be migrated. Its service became
asynchronous when the API did; its repository did not. Migrate it: the service, the repository, a
transaction as a context manager, errors of our own for the driver's, and the tests.

What must be true when you are done:

1. `async with open_billing(dsn, gateway, size=4) as billing` gives a `BillingService`. There are at
   most `size` connections, which calls at the same time use at the same time; at its end, there
   are none, and no tasks.
2. `get`, `issue`, `record_payment`, `charge` and `statement` are async, and give what they give
   now, and InvoiceNotFound for an invoice that is not there. No method runs a loop of its own: `charge_now` goes.
3. The event loop never waits for the database, nor does `asyncio.to_thread`, which others use.
   Threads of your own, round a whole unit of work, are fine, if 7 is true of them.
4. `issue` is one transaction, `record_payment` is one. Nobody ever sees half an invoice; what fails
   or is cancelled leaves nothing behind, and no gap in the numbers.
5. The payments of an invoice never exceed its total, also when two come at once: the second gets
   AlreadyPaid or Overpaid.
6. While `charge` asks the gateway it has no connection, no transaction and no lock. What the
   gateway raises comes out, and nothing is booked.
7. Cancelled, a call ends at once by CancelledError. Soon after, PostgreSQL knows nothing of it.
8. Whatever the database refuses comes out as a BillingError, with the driver's error as its
   `__cause__`: `DuplicatePayment` for a reference booked before, `InvalidInvoice` for a line that
   the tables refuse, `BillingUnavailable` where the database goes away.
9. `pytest` passes in this folder, needs no database, and awaits what it tests. It fails for a
   service that gives None for an unknown invoice, that swallows an Overpaid, that swallows what the
   gateway raises, or whose `charge` does nothing.
10. `loopclinic scan billing --min-confidence likely` finds no conflict. Without that option it shows
    hints, too, which are not judged.

These names stay: `open_billing`, `BillingService` and its five methods, the errors, and `Invoice`,
`InvoiceLine`, `Payment`. Files, constructors and the driver are yours: psycopg, psycopg_pool and asyncpg are installed.
Tables: data/samples/moorings/schema.sql.

How it is judged: `loopclinic check 13`, or `loopclinic watch 13` for a verdict on every save. The
check runs your tests, four times more on a service that is broken on purpose, and the scanner; then
it drives the package, and asks PostgreSQL. A line that takes 80 ms there and back may stop the loop
for 50 % of that; `asyncio.to_thread` gets a thread within 250 ms; a cancelled call gets 500 ms to
end, and PostgreSQL as long to forget it; ten charges get 1.2 s until all ask the gateway, and two of
one invoice 0.8 s; tests at which nothing moves for 10 s are stopped. Where the line stopped the loop,
what needs locks is not tried.
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
