"""A lock in the store, with an owner and an end, around reading and counting."""

import asyncio
import random
import uuid


class Limiter:
    def __init__(self, connect, *, limit=20, window=3600.0):
        self._connect, self._limit, self._window = connect, limit, window
        self._store, self._connecting = None, asyncio.Lock()

    async def allow(self, key):
        async with self._connecting:
            if self._store is None:
                self._store = await self._connect()
        store, lock, mine = self._store, f"{key}:lock", uuid.uuid4().hex
        while not await store.set(lock, mine, ex=min(10, self._window), nx=True):
            await asyncio.sleep(random.uniform(0.05, 0.15))
        try:
            used = int(await store.get(key) or 0)
            if used >= self._limit:
                return False
            await store.transaction(("incr", key), ("expire", key, self._window, {"nx": True}))
            return True
        finally:
            if await store.get(lock) == mine:
                await store.delete(lock)
