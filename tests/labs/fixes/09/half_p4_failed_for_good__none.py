"""Keeps the first attempt for ever, a failed one, too."""

import asyncio


class Limiter:
    def __init__(self, connect, *, limit=20, window=3600.0):
        self._connect, self._limit, self._window = connect, limit, window
        self._connecting = None

    async def allow(self, key):
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
        store = await asyncio.shield(self._connecting)
        _, used = await store.transaction(
            ("set", key, 0, {"ex": self._window, "nx": True}), ("incr", key)
        )
        return used <= self._limit
