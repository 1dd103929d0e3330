"""What others tell us: the card processor, the gate, the text message provider."""

import asyncio
import hashlib
import hmac
import json
import logging
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Header, HTTPException, Request

from ..billing import BillingError, Payment
from ..config import get_settings
from .deps import Billing, billing_service

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/webhooks", tags=["webhooks"])
ARCHIVE = Path("/var/lib/moorings/webhooks")


def signed(body: bytes, signature: str) -> bool:
    secret = get_settings().storage_secret.encode()
    return hmac.compare_digest(hmac.new(secret, body, hashlib.sha256).hexdigest(), signature)


def archive(name: str, body: bytes) -> None:
    with open(ARCHIVE / f"{name}.json", "ab") as file:
        file.write(body + b"\n")


async def _paid(event: dict[str, Any]) -> None:
    payment = Payment(event["amount"], "card", event["charge"])
    await billing_service().record_payment(event["invoice"], payment)


@router.post("/payments")
async def payments(request: Request, x_signature: str = Header("")) -> dict[str, int]:
    body = await request.body()
    if not signed(body, x_signature):
        raise HTTPException(403)
    archive("payments", body)
    events = json.loads(body)["events"]
    for event in events:
        try:
            await _paid(event)
        except BillingError as error:
            logger.warning("%s: %s", event["charge"], error)
    return {"taken": len(events)}


@router.post("/gate")
async def gate(request: Request) -> dict[str, str]:
    body = await request.body()
    await asyncio.to_thread(archive, "gate", body)
    return {"status": "ok"}


@router.post("/sms")
def sms(event: dict[str, str]) -> dict[str, str]:
    archive("sms", json.dumps(event).encode())
    return {"status": "ok"}


@router.post("/refunds")
async def refunds(event: dict[str, Any], billing: Billing) -> dict[str, str]:
    asyncio.create_task(billing.void(event["invoice"]))
    return {"status": "accepted"}
