"""INCR, then EXPIRE for the first: who dies in between locks the customer out for good."""

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
        used = await store.incr(key)
        if used == 1:
            await store.expire(key, self._window)
        return used <= self._limit
