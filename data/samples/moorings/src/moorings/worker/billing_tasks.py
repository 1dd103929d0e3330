"""Billing at night. The service is asynchronous, so each task runs a loop of its own."""

import asyncio
import logging

from ..adapters.accounting import Accounting
from ..adapters.mailer import Mailer
from ..adapters.payments import CardDeclined, PaymentGateway
from ..billing import BillingService, InvoiceRepository
from ..db.sync_pool import get_sync_pool
from .celery_app import app

logger = logging.getLogger(__name__)


def _billing() -> BillingService:
    return BillingService(InvoiceRepository(get_sync_pool()), PaymentGateway(), Mailer())


def _addresses() -> dict[int, str]:
    with get_sync_pool().connection() as connection:
        return dict(connection.execute("select id, email from customer").fetchall())


@app.task(name="billing.remind")
def remind() -> int:
    return asyncio.run(_billing().remind(_addresses()))


@app.task(name="billing.charge", bind=True, max_retries=3, default_retry_delay=600)
def charge(self, invoice_id: int, card: str) -> str:
    try:
        return asyncio.run(_billing().charge(invoice_id, card)).status.value
    except CardDeclined as error:
        raise self.retry(exc=error)


async def _charge_many(invoice_ids: list[int], card: str) -> int:
    billing = _billing()
    results = await asyncio.gather(
        *(billing.charge(one, card) for one in invoice_ids), return_exceptions=True
    )
    return sum(not isinstance(one, BaseException) for one in results)


@app.task(name="billing.charge_many")
def charge_many(invoice_ids: list[int], card: str) -> int:
    # was: loop = asyncio.get_event_loop(); loop.run_until_complete(...), which broke with 3.12
    # before that: return asyncio.run(_billing().charge_all(invoice_ids, card))
    return asyncio.run(_charge_many(invoice_ids, card))


@app.task(name="billing.post")
def post(number: str) -> str | None:
    invoice = InvoiceRepository(get_sync_pool()).by_number(number)
    if invoice is None:
        return None
    return Accounting().post_invoice(number, invoice.total_cents, invoice.issued_on)
