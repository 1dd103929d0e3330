"""Counts in the process, and ends the counter by a timer: another process counts its own."""

import asyncio
from collections import Counter


class Limiter:
    def __init__(self, connect, *, limit=20, window=3600.0):
        self._connect, self._limit, self._window = connect, limit, window
        self._store, self._connecting = None, asyncio.Lock()
        self._used = Counter()

    async def allow(self, key):
        async with self._connecting:
            if self._store is None:
                self._store = await self._connect()
        if key not in self._used:
            asyncio.get_running_loop().call_later(self._window, self._used.pop, key, None)
        self._used[key] += 1
        return self._used[key] <= self._limit
