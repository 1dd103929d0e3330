"""Customers live in the CRM first; we hold a copy."""

import asyncio
import logging
from typing import Any, Optional

import httpx

from ..config import get_settings

logger = logging.getLogger(__name__)


class CrmClient:
    def __init__(self) -> None:
        self._http = httpx.AsyncClient(base_url=get_settings().crm_url, timeout=10)

    async def contact(self, email: str) -> Optional[dict[str, Any]]:
        answer = await self._http.get("/contacts", params={"email": email})
        found = answer.json()
        return found[0] if found else None

    async def touch(self, email: str, note: str) -> None:
        await self._http.post("/notes", json={"email": email, "note": note})


def _loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_event_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        return loop


class CrmAdapter:
    """What the older services call."""

    def __init__(self, client: Optional[CrmClient] = None) -> None:
        self.client = client or CrmClient()

    def contact(self, email: str) -> Optional[dict[str, Any]]:
        return _loop().run_until_complete(self.client.contact(email))

    def touch(self, email: str, note: str) -> None:
        try:
            asyncio.run(self.client.touch(email, note))
        except Exception:
            logger.exception("the CRM did not take the note")
