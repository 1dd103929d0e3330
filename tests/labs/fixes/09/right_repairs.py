"""INCR, then EXPIRE NX on every call, which adds an expiry that a process that died did not set."""

import asyncio


class Limiter:
    def __init__(self, connect, *, limit=20, window=3600.0):
        self._limit, self._window = limit, window
        self._make, self._store, self._lock = connect, None, asyncio.Lock()

    async def allow(self, key):
        async with self._lock:
            store = self._store = self._store or await self._make()
        (began, used) = await store.transaction(
            ("set", key, 0, {"ex": self._window, "nx": True}), ("incr", key)
        )
        del began
        await store.expire(key, self._window, nx=True)
        return used <= self._limit
