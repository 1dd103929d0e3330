"""The end is set by a task beside, so that nobody waits for it."""

import asyncio


class Limiter:
    def __init__(self, connect, *, limit=20, window=3600.0):
        self._connect, self._limit, self._window = connect, limit, window
        self._store, self._lock = None, asyncio.Lock()

    async def _ready(self):
        async with self._lock:
            if self._store is None:
                self._store = await self._connect()
            return self._store

    async def allow(self, key):
        store = await self._ready()
        used = await store.incr(key)
        if used == 1:
            self._task = asyncio.create_task(store.expire(key, self._window))
        return used <= self._limit
