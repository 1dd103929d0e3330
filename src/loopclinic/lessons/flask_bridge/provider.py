"""The messaging provider: it delivers webhooks, remembers every answer, and comes again after a 503."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Self

import aiohttp

from loopclinic.lessons.flask_bridge.updates import PATH, SIGNATURE, Webhook

__all__ = ["Delivery", "Provider"]

LOST = 0
"""Status of a delivery without an answer: the connection was lost or refused."""
UNANSWERED = -1
"""Status of a delivery that got no answer in time."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt: which webhook, what was answered (`status`), after how many seconds."""

    webhook: Webhook
    status: int
    seconds: float


class Provider:
    """Delivers webhooks to `url`: `async with Provider(url) as provider`."""

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        self._url = url
        self._timeout = timeout

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self._url,
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def one(self, webhook: Webhook, *, timeout: float | None = None) -> Delivery:  # noqa: ASYNC109 - it is an outcome here
        """Deliver one webhook, once; no error of the receiver's is raised."""
        began = perf_counter()
        headers = {SIGNATURE: webhook.signature} if webhook.signature else {}
        headers["Content-Type"] = "application/json"
        try:
            async with (
                asyncio.timeout(timeout or self._timeout),
                self._session.post(PATH, data=webhook.body, headers=headers) as answer,
            ):
                await answer.read()
                status = answer.status
        except TimeoutError:
            status = UNANSWERED
        except (aiohttp.ClientError, OSError):
            status = LOST
        return Delivery(webhook, status, perf_counter() - began)

    async def many(
        self, webhooks: Iterable[Webhook], *, at_once: int, again: int = 0
    ) -> list[Delivery]:
        """Deliver these, so many at once, each up to `again` times more after a 503."""
        left = iter(list(webhooks))
        found: list[Delivery] = []

        async def work() -> None:
            for webhook in left:
                for _ in range(1 + again):
                    delivery = await self.one(webhook)
                    found.append(delivery)
                    if delivery.status != 503:  # noqa: PLR2004
                        break

        await asyncio.gather(*(work() for _ in range(at_once)))
        return found
