"""A future of threads for the pool: the first caller opens it, others wait for that on their own threads."""

import asyncio
import threading
from concurrent.futures import Future, wait

import asyncpg


class Bridge:
    def __init__(self, dsn, *, size=4):
        self._dsn, self._size = dsn, size
        self._guard, self._opening, self._loop = threading.Lock(), None, None
        self._closing, self._live = False, set()

    def _start(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def _submit(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _connect(self):
        return await asyncpg.create_pool(self._dsn, min_size=1, max_size=self._size)

    async def _with_deadline(self, work, pool, timeout):
        task = asyncio.ensure_future(work(pool))
        done, _ = await asyncio.wait([task], timeout=timeout)
        if not done:
            task.cancel()
            await asyncio.wait([task])
            if task.cancelled() or task.exception() is not None:
                raise TimeoutError
        return task.result()

    def run(self, work, *, timeout=10.0):
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError("there is a loop on this thread already")
        mine = Future()
        with self._guard:
            if self._closing:
                raise RuntimeError("closed")
            self._live.add(mine)
            if self._loop is None:
                self._start()
            opening = self._opening
            if opening is None or (opening.done() and opening.exception() is not None):
                opening = self._opening = self._submit(self._connect())
        try:
            return self._submit(self._with_deadline(work, opening.result(), timeout)).result()
        finally:
            mine.set_result(None)
            self._live.discard(mine)

    def close(self):
        with self._guard:
            self._closing, loop, live = True, self._loop, list(self._live)
        wait(live)
        with self._guard:
            loop, self._loop = self._loop, None
        if loop is None:
            return
        self._loop = loop
        if self._opening is not None and self._opening.exception() is None:
            self._submit(self._opening.result().close()).result()
        self._loop = None
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()
