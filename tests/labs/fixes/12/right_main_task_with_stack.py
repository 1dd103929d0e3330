"""The thread runs one coroutine, which holds an exit stack; calls are tasks beside it."""

import asyncio
import contextlib
import threading

import asyncpg


class _Inside:
    """What lives on the loop."""

    def __init__(self, dsn, size):
        self.dsn, self.size = dsn, size
        self.loop, self.over = asyncio.get_running_loop(), asyncio.Event()
        self.making, self.pool, self.calls = asyncio.Lock(), None, set()

    async def call(self, stack, work, timeout):
        task = asyncio.current_task()
        self.calls.add(task)
        try:
            async with self.making:
                if self.pool is None:
                    pool = asyncpg.create_pool(self.dsn, min_size=1, max_size=self.size)
                    self.pool = await stack.enter_async_context(pool)
            async with asyncio.timeout(timeout):
                return await work(self.pool)
        finally:
            self.calls.discard(task)


class Bridge:
    def __init__(self, dsn, *, size=4):
        self._given = dsn, size
        self._lock, self._there = threading.Lock(), threading.Event()
        self._thread, self._inside, self._stack, self._closed = None, None, None, False

    async def _main(self):
        async with contextlib.AsyncExitStack() as self._stack:
            self._inside = _Inside(*self._given)
            self._there.set()
            await self._inside.over.wait()
            while self._inside.calls:
                await asyncio.wait([*self._inside.calls])

    def run(self, work, *, timeout=10.0):
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("a loop is running on this thread")
        with self._lock:
            if self._closed:
                raise RuntimeError("the bridge has closed")
            if self._thread is None:
                self._thread = threading.Thread(
                    target=asyncio.run, args=[self._main()], daemon=True
                )
                self._thread.start()
                self._there.wait()
            inside = self._inside
            call = inside.call(self._stack, work, timeout)
            future = asyncio.run_coroutine_threadsafe(call, inside.loop)
        return future.result()

    def close(self):
        with self._lock:
            first, self._closed = not self._closed, True
            if first and self._thread is not None:
                self._inside.loop.call_soon_threadsafe(self._inside.over.set)
        if self._thread is not None:
            self._thread.join()
