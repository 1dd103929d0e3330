"""One loop for all, and each thread calls run_until_complete on it."""

import asyncio
import threading

import asyncpg


class Bridge:
    def __init__(self, dsn, *, size=4):
        self._dsn, self._size = dsn, size
        self._lock, self._loop, self._pool = threading.Lock(), None, None
        self._closed = False

    def run(self, work, *, timeout=10.0):
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("a loop runs on this thread")
        with self._lock:
            if self._closed:
                raise RuntimeError("the bridge is closed")
            self._loop = self._loop or asyncio.new_event_loop()
        return self._loop.run_until_complete(self._call(work, timeout))

    async def _call(self, work, timeout):
        if self._pool is None:
            self._pool = await asyncpg.create_pool(self._dsn, min_size=1, max_size=self._size)
        async with asyncio.timeout(timeout):
            return await work(self._pool)

    def close(self):
        self._closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.run_until_complete(self._pool.close())
            self._loop.close()
