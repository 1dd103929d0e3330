"""The synchronous driver, a whole unit of work at a time, on as many threads as connections."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg_pool import ConnectionPool

from .errors import BillingUnavailable, DuplicatePayment, InvalidInvoice
from .repository import Rows


class Units:
    """`await units.do(work)` runs `work(rows)` on a thread, in one transaction."""

    def __init__(self, dsn, size):
        self.pool = ConnectionPool(dsn, min_size=1, max_size=size, open=False)
        self.threads = ThreadPoolExecutor(size, thread_name_prefix="billing")
        self.cancels = ThreadPoolExecutor(1, thread_name_prefix="billing-cancel")

    async def open(self):
        await asyncio.get_running_loop().run_in_executor(self.cancels, self.pool.open)

    async def close(self):
        await asyncio.get_running_loop().run_in_executor(self.cancels, self.pool.close)
        self.threads.shutdown(wait=False)
        self.cancels.shutdown(wait=False)

    async def do(self, work):
        """Do a unit of work; cancelled, end it at PostgreSQL too."""
        loop = asyncio.get_running_loop()
        connections = []
        cancelled = False

        def unit():
            with self.pool.connection() as connection:
                connections.append(connection)
                return None if cancelled else work(Rows(connection))

        future = loop.run_in_executor(self.threads, unit)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            cancelled = True
            future.cancel()
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            while connections and not self._idle(connections[0]):
                await loop.run_in_executor(self.cancels, connections[0].cancel_safe)
                await asyncio.sleep(0.01)
            raise
        except psycopg.errors.UniqueViolation as error:
            raise DuplicatePayment(str(error)) from error
        except psycopg.IntegrityError as error:
            raise InvalidInvoice(str(error)) from error
        except psycopg.Error as error:
            raise BillingUnavailable(str(error)) from error

    @staticmethod
    def _idle(connection):
        return connection.closed or connection.info.transaction_status.name == "IDLE"
