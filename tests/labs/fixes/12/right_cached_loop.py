"""A loop that is a cached property, in a Runner that its thread leaves; calls are counted under a Condition."""

import asyncio
import threading
from functools import cached_property

import asyncpg


class Bridge:
    def __init__(self, dsn, *, size=4):
        self._dsn, self._size = dsn, size
        self._changed = threading.Condition(threading.RLock())
        self._calls, self._closed, self._asked = 0, False, False

    @cached_property
    def _loop(self):
        ready, box = threading.Event(), []

        def turn():
            with asyncio.Runner() as runner:
                loop = runner.get_loop()
                asyncio.set_event_loop(loop)
                box.append(loop)
                self._pooling = None
                loop.call_soon(ready.set)
                loop.run_forever()

        self._thread = threading.Thread(target=turn, daemon=True, name="bridge")
        self._thread.start()
        ready.wait()
        return box[0]

    async def _pool(self):
        while True:
            if self._pooling is None:
                self._pooling = asyncio.ensure_future(self._connect())
            pooling = self._pooling
            try:
                return await asyncio.shield(pooling)
            except Exception:
                if self._pooling is pooling:
                    self._pooling = None
                raise

    async def _connect(self):
        return await asyncpg.create_pool(self._dsn, min_size=1, max_size=self._size)

    async def _do(self, work, timeout):
        pool = await self._pool()
        async with asyncio.timeout(timeout):
            return await work(pool)

    def run(self, work, *, timeout=10.0):
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("run() blocks: not on a loop's thread")
        with self._changed:
            if self._closed:
                raise RuntimeError("closed")
            self._calls += 1
            loop = self._loop
        try:
            return asyncio.run_coroutine_threadsafe(self._do(work, timeout), loop).result()
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    def close(self):
        with self._changed:
            first, self._closed = not self._closed, True
            self._changed.wait_for(lambda: not self._calls)
        if first and "_loop" in vars(self):

            async def end():
                if self._pooling is not None:
                    await (await self._pooling).close()

            asyncio.run_coroutine_threadsafe(end(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
        if "_loop" in vars(self):
            self._thread.join()
