"""Futures by hand: a timer of the loop cancels the work, and a callback sets the future."""

import asyncio
import threading
from concurrent.futures import Future

import asyncpg


class Bridge:
    def __init__(self, dsn, *, size=4):
        self._pool_of = lambda: asyncpg.create_pool(dsn, min_size=size, max_size=size)
        self._lock, self._open = threading.RLock(), True
        self._loop = self._thread = self._pool = None
        self._under_way, self._idle = 0, threading.Event()
        self._idle.set()

    def run(self, work, *, timeout=10.0):
        if asyncio._get_running_loop():
            raise RuntimeError("no synchronous call on a loop's thread")
        done = Future()
        with self._lock:
            if not self._open:
                raise RuntimeError("closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._turn, daemon=True)
                self._thread.start()
            self._under_way += 1
            self._idle.clear()
            self._loop.call_soon_threadsafe(self._begin, work, timeout, done)
        return done.result()

    def _turn(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _begin(self, work, timeout, done):
        task = self._loop.create_task(self._opened())
        task.add_done_callback(lambda it: self._work(it, work, timeout, done))

    async def _opened(self):
        if self._pool is None:
            self._pool = asyncio.ensure_future(self._connect())
        opening = self._pool
        try:
            return await asyncio.shield(opening)
        except BaseException:
            if self._pool is opening:
                self._pool = None
            raise

    async def _connect(self):
        return await self._pool_of()

    def _work(self, opened, work, timeout, done):
        if opened.exception() is not None:
            self._end(done, error=opened.exception())
            return
        task = asyncio.ensure_future(work(opened.result()))
        late = []
        timer = self._loop.call_later(timeout, lambda: (late.append(True), task.cancel()))

        def over(it):
            timer.cancel()
            if it.cancelled():
                self._end(done, error=TimeoutError() if late else asyncio.CancelledError())
            elif it.exception() is not None:
                self._end(done, error=it.exception())
            else:
                self._end(done, value=it.result())

        task.add_done_callback(over)

    def _end(self, done, value=None, error=None):
        with self._lock:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(value)

    def close(self):
        with self._lock:
            self._open = False
            loop, self._loop = self._loop, self._loop if self._loop is None else self._loop
        self._idle.wait()
        if loop is None or loop.is_closed():
            return
        if self._pool is not None:
            asyncio.run_coroutine_threadsafe(self._close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()

    async def _close(self):
        await (await self._pool).close()
