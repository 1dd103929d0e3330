"""A unit of work as a class, which takes and gives back its connection by hand."""

import psycopg
from psycopg_pool import AsyncConnectionPool

from .errors import BillingError, BillingUnavailable, DuplicatePayment, InvalidInvoice
from .repository import InvoiceRepository

MEANING = {
    psycopg.errors.UniqueViolation: DuplicatePayment,
    psycopg.errors.CheckViolation: InvalidInvoice,
}


class UnitOfWork:
    def __init__(self, pool: AsyncConnectionPool) -> None:
        self.pool = pool

    async def __aenter__(self) -> InvoiceRepository:
        try:
            self.connection = await self.pool.getconn()
        except psycopg.Error as error:
            raise self.meant(error) from error
        return InvoiceRepository(self.connection)

    async def __aexit__(self, kind, error, trace) -> None:
        try:
            if error is None:
                await self.connection.commit()
            else:
                await self.connection.rollback()
        except psycopg.Error as broken:
            if not isinstance(error, psycopg.Error):
                raise self.meant(broken) from broken
        finally:
            await self.pool.putconn(self.connection)
        if isinstance(error, psycopg.Error):
            raise self.meant(error) from error

    @staticmethod
    def meant(error: psycopg.Error) -> BillingError:
        return MEANING.get(type(error), BillingUnavailable)(str(error))
