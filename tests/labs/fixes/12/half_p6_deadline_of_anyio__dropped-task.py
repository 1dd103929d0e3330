"""A blocking portal of anyio's holds the loop, and its deadline cancels each await of the clean-up, too."""

import asyncio
import atexit
import threading

import anyio
import asyncpg
from anyio.from_thread import start_blocking_portal


class Bridge:
    def __init__(self, dsn, *, size=4):
        self._dsn, self._size = dsn, size
        self._lock = threading.Condition()
        self._manager = self._portal = self._pool = self._opening = None
        self._under_way, self._closed = 0, False

    def run(self, work, *, timeout=10.0):
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("called from async code: await the work")
        with self._lock:
            if self._closed:
                raise RuntimeError("closed")
            if self._portal is None:
                self._manager = start_blocking_portal()
                self._portal = self._manager.__enter__()
                self._opening = anyio.Lock()
                atexit.register(self.close)
            self._under_way += 1
        try:
            return self._portal.call(self._call, work, timeout)
        finally:
            with self._lock:
                self._under_way -= 1
                self._lock.notify_all()

    async def _call(self, work, timeout):
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn, min_size=1, max_size=self._size
                )
        with anyio.fail_after(timeout):
            return await work(self._pool)

    def close(self):
        with self._lock:
            self._closed = True
            self._lock.wait_for(lambda: not self._under_way)
            portal, self._portal = self._portal, None
        if portal is not None:
            atexit.unregister(self.close)
            if self._pool is not None:
                portal.call(self._pool.close)
            self._manager.__exit__(None, None, None)
