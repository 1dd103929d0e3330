"""The pool is asked on a thread, and what looks asynchronous after that is not."""

import asyncio
from contextlib import asynccontextmanager

import psycopg

from .errors import BillingUnavailable, DuplicatePayment, InvalidInvoice
from .repository import InvoiceRepository


class Cursor:
    def __init__(self, cursor):
        self.cursor = cursor

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.cursor.close()

    async def execute(self, query, values):
        self.cursor.execute(query, values)

    async def executemany(self, query, rows):
        self.cursor.executemany(query, rows)

    async def fetchone(self):
        return self.cursor.fetchone()

    async def fetchall(self):
        return self.cursor.fetchall()


class Connection:
    def __init__(self, connection):
        self.connection = connection

    async def execute(self, query, values):
        return Cursor(self.connection.execute(query, values))

    def cursor(self, **options):
        return Cursor(self.connection.cursor(**options))


@asynccontextmanager
async def transaction(pool):
    connection = await asyncio.to_thread(pool.getconn)
    try:
        with connection.transaction():
            yield InvoiceRepository(Connection(connection))
    except psycopg.errors.UniqueViolation as error:
        raise DuplicatePayment(str(error)) from error
    except psycopg.IntegrityError as error:
        raise InvalidInvoice(str(error)) from error
    except psycopg.Error as error:
        raise BillingUnavailable(str(error)) from error
    finally:
        pool.putconn(connection)
