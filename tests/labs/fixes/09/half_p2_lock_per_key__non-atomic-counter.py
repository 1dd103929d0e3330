"""A lock for each key, forgotten when nobody holds it: right in one process only."""

import asyncio
from weakref import WeakValueDictionary


class Limiter:
    def __init__(self, connect, *, limit=20, window=3600.0):
        self._connect, self._limit, self._window = connect, limit, window
        self._store, self._connecting = None, asyncio.Lock()
        self._locks = WeakValueDictionary()

    async def _connected(self):
        async with self._connecting:
            if self._store is None:
                self._store = await self._connect()
            return self._store

    async def allow(self, key):
        store = await self._connected()
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            if int(await store.get(key) or 0) >= self._limit:
                return False
            await store.transaction(
                ("set", key, 0, {"ex": self._window, "nx": True}), ("incr", key)
            )
            return True
