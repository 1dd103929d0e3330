from contextlib import asynccontextmanager

from .service import BillingService
from .transactions import Units


@asynccontextmanager
async def open_billing(dsn, gateway, *, size=4):
    units = Units(dsn, size)
    own, units.threads = units.threads, None
    await units.open()
    try:
        yield BillingService(units, gateway)
    finally:
        units.threads = own
        await units.close()
