"""A key for each of limit slots, which each end by themselves: the window slides."""

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
        taken = await store.transaction(*[("get", f"{key}:{n}") for n in range(self._limit)])
        for n, one in enumerate(taken):
            if one is None and await store.set(f"{key}:{n}", 1, ex=self._window, nx=True):
                return True
        return False
