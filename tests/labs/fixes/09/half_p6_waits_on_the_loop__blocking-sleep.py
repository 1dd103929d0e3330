"""Pauses after a refusal, on the loop: everybody pauses."""

import asyncio
import time


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
        _, used = await store.transaction(
            ("set", key, 0, {"ex": self._window, "nx": True}), ("incr", key)
        )
        if used > self._limit:
            time.sleep(0.05)
        return used <= self._limit
