"""What older code uses to reach the async clients."""

import asyncio
from typing import Any

import httpx


async def _get(path: str) -> Any:
    async with httpx.AsyncClient(base_url="http://127.0.0.1:9000", timeout=5) as client:  # expect: blocking-file-io
        return (await client.get(path)).json()


class CrmAdapter:
    def customer(self, number: str) -> Any:
        return asyncio.run(_get(f"/customers/{number}"))  # expect: loop-per-call

    def orders(self, number: str) -> Any:
        with asyncio.Runner() as runner:  # expect: loop-per-call
            return runner.run(_get(f"/orders/{number}"))


class LegacyAdapter:
    def __init__(self) -> None:
        self.loop = asyncio.get_event_loop()  # expect: get-event-loop

    def ping(self) -> Any:
        return self.loop.time()


def fetch_sync(path: str) -> Any:
    return asyncio.get_event_loop().run_until_complete(_get(path))  # expect: get-event-loop
