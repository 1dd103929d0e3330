"""A lock in the store that only its holder removes: who dies holds it for good."""

import asyncio


class Limiter:
    def __init__(self, connect, *, limit=20, window=3600.0):
        self._connect, self._limit, self._window = connect, limit, window
        self._store, self._connecting = None, asyncio.Lock()

    async def _connected(self):
        async with self._connecting:
            if self._store is None:
                self._store = await self._connect()
            return self._store

    async def allow(self, key):
        store = await self._connected()
        while not await store.set(f"{key}:lock", 1, nx=True):
            await asyncio.sleep(0.05)
        try:
            used = int(await store.get(key) or 0)
            if used < self._limit:
                await store.transaction(("incr", key), ("expire", key, self._window, {"nx": True}))
            return used < self._limit
        finally:
            await store.delete(f"{key}:lock")
