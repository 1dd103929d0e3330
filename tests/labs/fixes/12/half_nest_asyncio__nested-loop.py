"""The patch that everybody finds."""

import asyncio
import threading

import asyncpg
import nest_asyncio

nest_asyncio.apply()


class Bridge:
    def __init__(self, dsn, *, size=4):
        self._dsn, self._size = dsn, size
        self._closed = False

    def run(self, work, *, timeout=10.0):
        if self._closed:
            raise RuntimeError("the bridge is closed")
        return asyncio.run(self._call(work, timeout))

    async def _call(self, work, timeout):
        async with asyncpg.create_pool(self._dsn, min_size=1, max_size=self._size) as pool:
            return await asyncio.wait_for(work(pool), timeout)

    def close(self):
        self._closed = True
