"""The attempt to connect is a task that all callers share, and that is forgotten when it fails."""

import asyncio


class Limiter:
    def __init__(self, connect, *, limit=20, window=3600.0):
        self.connect, self.limit, self.window = connect, limit, window
        self.attempt = None

    async def store(self):
        if self.attempt is None:
            self.attempt = asyncio.create_task(self._try())
        return await asyncio.shield(self.attempt)

    async def _try(self):
        try:
            return await self.connect()
        except BaseException:
            self.attempt = None
            raise

    async def allow(self, key):
        store = await self.store()
        begin = "set", key, 0, {"ex": self.window, "nx": True}
        return (await store.transaction(begin, ("incr", key)))[-1] <= self.limit
