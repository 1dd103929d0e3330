"""Orders: price, seats, ticket, letter. The four used to be one monolith."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import aiohttp
import asyncpg
import httpx

from ticketing.seats import Seats

LIMIT = aiohttp.ClientTimeout(total=5)


class Orders:
    def __init__(self, api: httpx.AsyncClient, seats: Seats) -> None:
        self.api = api
        self.seats = seats
        self._prices: dict[str, int] | None = None
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._counting = threading.Lock()

    async def price(self, kind: str) -> int:
        return (await self.api.get(f"/prices/{kind}")).json()["cents"]

    async def prices(self) -> dict[str, int]:
        if self._prices is None:
            self._prices = (await self.api.get("/prices")).json()  # expect: lazy-init-race
        return self._prices

    async def pool(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool("postgresql:///tickets", command_timeout=5)  # clean: under the lock
        return self._pool

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    async def page(self, event: str) -> dict[str, Any]:
        facts = await self.api.get(f"/events/{event}")  # expect: sequential-awaits
        venue = await self.api.get("/venue")
        return {"event": facts.json(), "venue": venue.json()}

    async def page_together(self, event: str) -> dict[str, Any]:
        async with asyncio.TaskGroup() as group:
            facts = group.create_task(self.api.get(f"/events/{event}"))  # clean: the group waits
            venue = group.create_task(self.api.get("/venue"))  # clean: the group waits
        return {"event": facts.result().json(), "venue": venue.result().json()}  # clean: both are done

    async def totals(self, kinds: Iterable[str]) -> list[int]:
        totals = []
        for kind in kinds:
            totals.append(await self.price(kind))  # expect: sequential-awaits
        return totals

    async def walk(self, url: str | None) -> list[Any]:
        items: list[Any] = []
        while url:
            page = (await self.api.get(url)).json()  # clean: each page names the next
            items += page["items"]
            url = page["next"]
        return items

    async def all_totals(self, kinds: list[str]) -> list[int]:
        return await asyncio.gather(*[self.price(kind) for kind in kinds])  # expect: unbounded-gather

    async def some_totals(self, kinds: list[str]) -> list[int]:
        found: list[int] = []
        for batch in itertools.batched(kinds, 10):
            found += await asyncio.gather(*[self.price(kind) for kind in batch])  # clean: ten at a time
        return found

    async def announce(self, hooks: list[Callable[[], Awaitable[None]]]) -> None:
        first, second = hooks
        await asyncio.gather(first(), second(), return_exceptions=True)  # expect: dropped-gather-results

    async def announce_loudly(self, hooks: list[Callable[[], Awaitable[None]]]) -> None:
        first, second = hooks
        await asyncio.gather(first(), second())  # clean: an error is raised

    async def number(self) -> int:
        with self._counting:  # expect: thread-lock-in-async
            taken = next(self._numbers)
            await self.seats.audited()
            return taken

    def number_in_thread(self) -> int:
        with self._counting:  # clean: a plain function, run in threads
            return next(self._numbers)


async def letter(url: str, body: bytes) -> int:
    session = aiohttp.ClientSession(timeout=LIMIT)  # expect: unclosed-resource
    answer = await session.post(url, data=body)
    return answer.status


async def letter_well(url: str, body: bytes) -> int:
    async with aiohttp.ClientSession(timeout=LIMIT) as session, session.post(url, data=body) as answer:  # clean: closed by async with
        return answer.status


async def refund_all(numbers: list[int]) -> int:
    pool = await asyncpg.create_pool("postgresql:///tickets", command_timeout=5)  # expect: unclosed-resource
    return len(await pool.fetch("update orders set state = 'refunded' where number = any ($1) returning 1", numbers))


async def stored(number: int) -> asyncpg.Record | None:
    connection = await asyncpg.connect("postgresql:///tickets", command_timeout=5)  # clean: closed in the finally
    try:
        return await connection.fetchrow("select * from orders where number = $1", number)
    finally:
        await connection.close()
