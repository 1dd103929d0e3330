"""A Thread that is its own bridge: asyncio.run in it, a queue of threads as its inbox, polled by the loop."""

import asyncio
import contextlib
import threading
from concurrent.futures import Future

import asyncpg


class _Home(threading.Thread):
    def __init__(self, dsn, size):
        super().__init__(daemon=True)
        self.dsn, self.size, self.there = dsn, size, Future()

    def run(self):
        with contextlib.suppress(BaseException):
            asyncio.run(self.live())

    async def live(self):
        self.loop, self.bell, self.over = (
            asyncio.get_running_loop(),
            asyncio.Lock(),
            asyncio.Event(),
        )
        self.pool, self.tasks = None, set()
        self.there.set_result(None)
        await self.over.wait()
        while self.tasks:
            await asyncio.wait(self.tasks)
        if self.pool is not None:
            await self.pool.close()

    def take(self, work, timeout, future):
        task = self.loop.create_task(self.do(work, timeout, future))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def do(self, work, timeout, future):
        try:
            async with self.bell:
                if self.pool is None:
                    self.pool = await asyncpg.create_pool(self.dsn, min_size=0, max_size=self.size)
            result = await asyncio.wait_for(work(self.pool), timeout)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)


class Bridge:
    def __init__(self, dsn, *, size=4):
        self._make, self._home, self._open = lambda: _Home(dsn, size), None, True
        self._lock = threading.Lock()

    def run(self, work, *, timeout=10.0):
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            on_loop = True
        if "on_loop" in locals():
            raise RuntimeError("await it: a loop runs here")
        future = Future()
        with self._lock:
            if not self._open:
                raise RuntimeError("closed")
            if self._home is None:
                self._home = self._make()
                self._home.start()
                self._home.there.result()
            self._home.loop.call_soon_threadsafe(self._home.take, work, timeout, future)
        return future.result()

    def close(self):
        with self._lock:
            self._open = False
            home = self._home
        if home is not None and home.is_alive():
            with contextlib.suppress(RuntimeError):
                home.loop.call_soon_threadsafe(home.over.set)
            home.join()
