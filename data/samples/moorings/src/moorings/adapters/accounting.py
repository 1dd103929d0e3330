"""The bookkeeping system. Its client is asynchronous, our exporters are not."""

import asyncio
from datetime import date
from typing import Any

import httpx

from ..config import get_settings


async def _post(path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=get_settings().accounting_url, timeout=15) as http:
        answer = await http.post(path, json=body)
        answer.raise_for_status()
        return answer.json()


async def _get(path: str, **params: Any) -> Any:
    async with httpx.AsyncClient(base_url=get_settings().accounting_url, timeout=15) as http:
        return (await http.get(path, params=params)).json()


class Accounting:
    """Hides the event loop from its callers."""

    def post_invoice(self, number: str, cents: int, issued_on: date) -> str:
        body = {"number": number, "amount": cents, "date": issued_on.isoformat()}
        return asyncio.run(_post("/entries", body))["id"]

    def post_payment(self, number: str, cents: int, reference: str) -> str:
        body = {"number": number, "amount": -cents, "reference": reference}
        return asyncio.run(_post("/entries", body))["id"]

    def open_items(self, since: date) -> list[dict[str, Any]]:
        return asyncio.run(_get("/open-items", since=since.isoformat()))
