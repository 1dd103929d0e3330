"""Keeps asking whether an invoice is paid, for the screen at the desk."""

import time

from .models import InvoiceStatus


async def wait_until_paid(billing, invoice_id):
    while (await billing.get(invoice_id)).status is not InvoiceStatus.PAID:
        time.sleep(1)
