"""64 counters for all keys, by a hash."""

import asyncio
import zlib


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
        store, key = await self._ready(), f"{zlib.crc32(key.encode()) % 64}"
        begin = ("set", key, 0, {"ex": self._window, "nx": True})
        _, used = await store.transaction(begin, ("incr", key))
        return used <= self._limit
