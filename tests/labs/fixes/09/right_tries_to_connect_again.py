"""Connecting is tried three times by one task, which all that come meanwhile wait for."""

import asyncio


class Limiter:
    def __init__(self, connect, *, limit=20, window=3600.0):
        self._connect, self._limit, self._window = connect, limit, window
        self._connecting = None

    async def _connected(self):
        for left in (2, 1, 0):
            try:
                return await self._connect()
            except OSError:
                if not left:
                    raise
                await asyncio.sleep(0.05)

    async def _store(self):
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connected())
            self._connecting.add_done_callback(self._forget)
        return await asyncio.shield(self._connecting)

    def _forget(self, task):
        if task.cancelled() or task.exception():
            self._connecting = None

    async def allow(self, key):
        store = await self._store()
        _, used, left = await store.transaction(
            ("set", key, 0, {"ex": self._window, "nx": True}), ("incr", key), ("ttl", key)
        )
        if left is None:
            await store.expire(key, self._window, nx=True)
        return used <= self._limit
