"""The first call opens the pool under a lock of threads; later ones only hand their work over."""

import asyncio
import atexit
import threading
from concurrent.futures import wait

import asyncpg


def on_a_loop():
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Bridge:
    def __init__(self, dsn, *, size=4):
        self.dsn, self.size = dsn, size
        self.opening, self.state = threading.Lock(), threading.Lock()
        self.loop = self.pool = self.thread = None
        self.closed, self.futures = False, []

    def run(self, work, *, timeout=10.0):
        if on_a_loop():
            raise RuntimeError("run() on a running loop would stop it: await the work")
        if self.closed:
            raise RuntimeError("closed")
        self._open()
        with self.state:
            if self.closed:
                raise RuntimeError("closed")
            self.futures = [one for one in self.futures if not one.done()]
            future = asyncio.run_coroutine_threadsafe(self._work(work, timeout), self.loop)
            self.futures.append(future)
        return future.result()

    def _open(self):
        with self.opening:
            if self.pool is not None:
                return
            if self.loop is None:
                self.loop = asyncio.new_event_loop()
                self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
                self.thread.start()
                atexit.register(self.close)
            opened = asyncio.run_coroutine_threadsafe(self._connect(), self.loop)
            self.pool = opened.result()

    async def _connect(self):
        return await asyncpg.create_pool(self.dsn, min_size=1, max_size=self.size)

    async def _work(self, work, timeout):
        return await asyncio.wait_for(work(self.pool), timeout)

    def close(self):
        with self.state:
            again, self.closed = self.closed, True
            futures = [*self.futures]
        wait(futures)
        if again or self.loop is None:
            return
        atexit.unregister(self.close)
        if self.pool is not None:
            asyncio.run_coroutine_threadsafe(self.pool.close(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
