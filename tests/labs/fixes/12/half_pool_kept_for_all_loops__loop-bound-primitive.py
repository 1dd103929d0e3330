"""asyncio.run for each call, and the pool of the first one for all: it belongs to a loop that is closed."""

import asyncio
import threading

import asyncpg


class Bridge:
    def __init__(self, dsn, *, size=4):
        self._dsn, self._size = dsn, size
        self._pool, self._lock = None, threading.Lock()
        self._closed = False

    def run(self, work, *, timeout=10.0):
        if self._closed:
            raise RuntimeError("the bridge is closed")
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("a loop runs on this thread")
        return asyncio.run(self._call(work, timeout))

    async def _call(self, work, timeout):
        if self._pool is None:
            with self._lock:
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(
                        self._dsn, min_size=self._size, max_size=self._size
                    )
        async with asyncio.timeout(timeout):
            return await work(self._pool)

    def close(self):
        self._closed = True
