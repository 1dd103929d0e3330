"""A key that was refused is refused from memory, until this process's window ends."""

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
        store, loop = await self._ready(), asyncio.get_running_loop()
        self._full = getattr(self, "_full", {})
        if key in self._full:
            return False
        begin = ("set", key, 0, {"ex": self._window, "nx": True})
        _, used = await store.transaction(begin, ("incr", key))
        if used > self._limit:
            self._full[key] = loop.call_later(self._window, self._full.pop, key, None)
            return False
        return True
