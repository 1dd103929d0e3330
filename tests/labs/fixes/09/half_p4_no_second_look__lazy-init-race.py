"""A lock, but no second look inside of it: the calls connect one after the other."""

import asyncio


class Limiter:
    def __init__(self, connect, *, limit=20, window=3600.0):
        self._connect, self._limit, self._window = connect, limit, window
        self._store, self._connecting = None, asyncio.Lock()

    async def allow(self, key):
        if self._store is None:
            async with self._connecting:
                self._store = await self._connect()
        store = self._store
        _, used = await store.transaction(
            ("set", key, 0, {"ex": self._window, "nx": True}), ("incr", key)
        )
        return used <= self._limit
