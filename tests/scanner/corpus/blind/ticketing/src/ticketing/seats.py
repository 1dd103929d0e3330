from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ticketing.settings import Connections

SCRIPT = "return redis.call('incrby', KEYS[1], ARGV[1])"


class Seats:
    def __init__(self, connections: Connections, event: str) -> None:
        self._c = connections
        self.event = event

    @property
    def key(self) -> str:
        return f"seats:{self.event}"

    @property
    def left(self) -> int:
        return int(self._c.sync.get(self.key) or 0)

    async def take(self, amount: int) -> bool:
        left = await self._c.aio.decrby(self.key, amount)  # clean: the asyncio client
        return left >= 0

    async def give_back(self, amount: int) -> int:
        return self._c.sync.eval(SCRIPT, 1, self.key, amount)  # expect: blocking-redis

    async def sold_out(self) -> bool:
        return self.left == 0  # expect-via: blocking-redis

    async def listen(self) -> bytes:
        return self._c.sync.blpop([f"{self.key}:news"])[1]  # expect: blocking-redis

    async def label(self) -> str:
        return self.key.upper()  # clean: a property that formats a string

    async def held(self, names: Sequence[str]) -> list[bytes | None]:
        return await self._c.aio.mget(names)  # clean: the asyncio client

    async def hold(self, name: str) -> bool:
        with self._c.sync.lock(f"{self.key}:lock", timeout=5):  # expect: blocking-redis
            return await self.take(1)

    async def hold_well(self, name: str) -> bool:
        async with self._c.aio.lock(f"{self.key}:lock", timeout=5):  # clean: the asyncio client's lock
            return await self.take(1)

    def _audit(self) -> None:
        self._c.sync.rpush("audit", self.key)

    async def audited(self) -> None:
        await asyncio.to_thread(self._audit)  # clean: in a thread
