"""asyncpg: a transaction, and its errors in our words."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from .errors import BillingUnavailable, DuplicatePayment, InvalidInvoice
from .repository import InvoiceRepository


@asynccontextmanager
async def transaction(pool: asyncpg.Pool) -> AsyncIterator[InvoiceRepository]:
    try:
        async with pool.acquire() as connection, connection.transaction():
            yield InvoiceRepository(connection)
    except asyncpg.UniqueViolationError as error:
        raise DuplicatePayment(str(error)) from error
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
        raise InvalidInvoice(str(error)) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise BillingUnavailable(str(error)) from error
