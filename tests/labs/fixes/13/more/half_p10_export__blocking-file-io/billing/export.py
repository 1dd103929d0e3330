"""A customer's invoices as a file, for the tax office."""

import csv

from .service import BillingService


async def export(billing: BillingService, customer_id: int, path: str) -> None:
    statement = await billing.statement(customer_id)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(statement.items())
