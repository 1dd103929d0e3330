"""Counts every key together with all others that begin alike."""

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
        key = "codes"
        _, used = await store.transaction(
            ("set", key, 0, {"ex": self._window, "nx": True}), ("incr", key)
        )
        return used <= self._limit
