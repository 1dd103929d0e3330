"""asyncio.run for each call, and everything else as it has to be."""

import asyncio
import threading

import asyncpg


class Bridge:
    def __init__(self, dsn, *, size=4):
        self._dsn, self._size = dsn, size
        self._lock, self._under_way = threading.Condition(), 0
        self._closed = False

    def run(self, work, *, timeout=10.0):
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("a loop runs on this thread")
        with self._lock:
            if self._closed:
                raise RuntimeError("the bridge is closed")
            self._under_way += 1
        try:
            return asyncio.run(self._call(work, timeout))
        finally:
            with self._lock:
                self._under_way -= 1
                self._lock.notify_all()

    async def _call(self, work, timeout):
        async with asyncpg.create_pool(self._dsn, min_size=1, max_size=self._size) as pool:
            async with asyncio.timeout(timeout):
                return await work(pool)

    def close(self):
        with self._lock:
            self._closed = True
            self._lock.wait_for(lambda: not self._under_way)
