"""The card processor."""

from __future__ import annotations

import logging
from typing import Any

import httpx

from ..config import get_settings
from ..errors import UpstreamFailed
from .breaker import CircuitBreaker

logger = logging.getLogger(__name__)

breaker = CircuitBreaker(failures=4, seconds=30)


class CardDeclined(UpstreamFailed):
    status = 402


class PaymentGateway:
    def __init__(self, url: str | None = None) -> None:
        self.url = url or get_settings().payments_url
        self._session: httpx.AsyncClient | None = None

    async def session(self) -> httpx.AsyncClient:
        if self._session is None:
            token = await self._token()
            self._session = httpx.AsyncClient(
                base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=20
            )
        return self._session

    async def _token(self) -> str:
        async with httpx.AsyncClient(timeout=5) as http:
            answer = await http.post(f"{self.url}/token")
            return answer.json()["token"]

    async def _charge(self, cents: int, currency: str, card: str, reference: str) -> dict[str, Any]:
        session = await self.session()
        answer = await session.post(
            "/charges",
            json={"amount": cents, "currency": currency, "source": card, "reference": reference},
        )
        if answer.status_code == 402:
            raise CardDeclined(answer.json()["message"])
        answer.raise_for_status()
        return answer.json()

    async def charge(self, cents: int, currency: str, card: str, reference: str) -> str:
        """Take the money; return the processor's id of the charge."""
        result = await breaker.call(self._charge, cents, currency, card, reference)
        logger.info("charged %d %s for %s", cents, currency, reference)
        return result["id"]

    async def refund(self, charge: str, cents: int) -> None:
        session = await self.session()
        await session.post(f"/charges/{charge}/refunds", json={"amount": cents})

    async def close(self) -> None:
        if self._session is not None:
            await self._session.aclose()
