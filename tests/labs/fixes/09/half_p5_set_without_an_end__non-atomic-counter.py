"""Sets the counter, then its end, then counts, each by itself."""

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
        if await store.set(key, 0, nx=True):
            await store.expire(key, self._window)
        return await store.incr(key) <= self._limit
