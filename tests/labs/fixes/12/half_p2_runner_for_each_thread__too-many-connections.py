"""Each thread keeps a runner of its own, with a pool of its own."""

import asyncio
import threading

import asyncpg


class Bridge:
    def __init__(self, dsn, *, size=4):
        self._dsn, self._size = dsn, size
        self._own, self._all = threading.local(), []
        self._lock, self._none = threading.Condition(), 0
        self._closed = False

    def run(self, work, *, timeout=10.0):
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("a loop runs on this thread")
        with self._lock:
            if self._closed:
                raise RuntimeError("the bridge is closed")
            self._none += 1
        try:
            if not hasattr(self._own, "runner"):
                self._own.runner, self._own.pool = asyncio.Runner(), None
                self._all.append(self._own.__dict__)
            return self._own.runner.run(self._call(work, timeout))
        finally:
            with self._lock:
                self._none -= 1
                self._lock.notify_all()

    async def _call(self, work, timeout):
        if self._own.pool is None:
            self._own.pool = await asyncpg.create_pool(self._dsn, min_size=1, max_size=self._size)
        async with asyncio.timeout(timeout):
            return await work(self._own.pool)

    def close(self):
        with self._lock:
            self._closed = True
            self._lock.wait_for(lambda: not self._none)
        for one in self._all:
            if one["pool"] is not None:
                one["runner"].run(_closed(one["pool"]))
            one["runner"].close()
        self._all.clear()


async def _closed(pool):
    await pool.close()
