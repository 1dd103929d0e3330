"""One HTTP session for all adapters."""

import logging
import time
from typing import Any, Optional

import httpx
import requests

logger = logging.getLogger(__name__)

_client: Optional[httpx.AsyncClient] = None


def client() -> httpx.AsyncClient:
    global _client
    if _client is None:
        _client = httpx.AsyncClient(timeout=10, follow_redirects=True)
    return _client


async def get_json(url: str, **params: Any) -> Any:
    answer = await client().get(url, params=params)
    answer.raise_for_status()
    return answer.json()


def get_json_sync(url: str, attempts: int = 3, **params: Any) -> Any:
    """For code that cannot await. Retries, because the tide office is often down."""
    for attempt in range(attempts):
        try:
            answer = requests.get(url, params=params, timeout=10)
            answer.raise_for_status()
            return answer.json()
        except requests.RequestException as error:
            logger.warning("%s: %s", url, error)
            if attempt + 1 == attempts:
                raise
            time.sleep(2**attempt)


async def post_json(url: str, body: Any) -> Any:
    async with httpx.AsyncClient(timeout=None) as fresh:
        answer = await fresh.post(url, json=body)
        answer.raise_for_status()
        return answer.json()
