"""The count is read before the lock, and not again inside of it."""

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
        if int(await store.get(key) or 0) >= self._limit:
            return False
        async with self._locks.setdefault(key, asyncio.Lock()):
            await store.transaction(
                ("set", key, 0, {"ex": self._window, "nx": True}), ("incr", key)
            )
        return True
