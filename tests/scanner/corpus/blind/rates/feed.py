"""Exchange rates, with one lock for all who ask."""

import asyncio

import aiohttp

LIMIT = aiohttp.ClientTimeout(total=5)
_refresh = asyncio.Lock()  # expect: loop-bound-primitive
_done = asyncio.Event()  # expect: loop-bound-primitive
_rates: dict[str, float] = {}


async def rates() -> dict[str, float]:
    async with _refresh:
        if not _rates:
            async with aiohttp.ClientSession(timeout=LIMIT) as session:
                async with session.get("https://rates.example/latest") as answer:
                    _rates.update(await answer.json())
    _done.set()
    return _rates


async def wait_done() -> None:
    async with asyncio.timeout(5):
        await _done.wait()
