from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from ..billing import Payment
from ..services.documents import Documents
from ..services.reports import Reports
from .deps import Billing, CurrentCustomer, documents, reports

router = APIRouter(prefix="/invoices", tags=["invoices"])


class Card(BaseModel):
    token: str


class Transfer(BaseModel):
    amount_cents: int
    reference: str


@router.get("/statement")
async def statement(customer_id: CurrentCustomer, billing: Billing) -> dict[str, object]:
    return await billing.statement(customer_id)


@router.get("/balance")
async def balance(customer_id: CurrentCustomer, billing: Billing) -> dict[str, int]:
    return {"balance_cents": billing.balance(customer_id)}


@router.get("/{invoice_id}")
async def invoice(invoice_id: int, billing: Billing) -> dict[str, object]:
    found = await billing.get(invoice_id)
    return {"number": found.number, "status": found.status.value, "open_cents": found.balance_cents}


@router.get("/{invoice_id}/pdf")
async def pdf(
    invoice_id: int, billing: Billing, papers: Annotated[Documents, Depends(documents)]
) -> dict[str, str]:
    return {"link": await papers.invoice(await billing.get(invoice_id))}


@router.post("/{invoice_id}/charge")
async def charge(invoice_id: int, card: Card, billing: Billing) -> dict[str, str]:
    return {"status": (await billing.charge(invoice_id, card.token)).status.value}


@router.post("/{invoice_id}/payments")
async def record(invoice_id: int, body: Transfer, billing: Billing) -> dict[str, int]:
    paid = await billing.record_payment(
        invoice_id, Payment(body.amount_cents, "transfer", body.reference)
    )
    return {"open_cents": paid.balance_cents}


@router.get("/revenue/{year}")
async def revenue(year: int, figures: Annotated[Reports, Depends(reports)]) -> Response:
    return Response(await figures.revenue_csv(year), media_type="text/csv")
