"""A Runner on a daemon thread takes calls from a queue of asyncio's, each with a future of threads."""

import asyncio
import threading
from concurrent.futures import Future

import asyncpg


class Bridge:
    def __init__(self, dsn, *, size=4):
        self._dsn, self._size = dsn, size
        self._guard = threading.Lock()
        self._put = self._thread = None
        self._closed = False

    def run(self, work, *, timeout=10.0):
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError("await it: a loop runs here")
        answer = Future()
        with self._guard:
            if self._closed:
                raise RuntimeError("closed")
            if self._thread is None:
                ready = Future()
                self._thread = threading.Thread(target=self._main, args=[ready], daemon=True)
                self._thread.start()
                self._put = ready.result()
            self._put((work, timeout, answer))
        return answer.result()

    def _main(self, ready):
        with asyncio.Runner() as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready):
        queue, loop, self._pool = asyncio.Queue(), asyncio.get_running_loop(), None
        self._opening = asyncio.Lock()
        ready.set_result(lambda item: loop.call_soon_threadsafe(queue.put_nowait, item))
        async with asyncio.TaskGroup() as calls:
            while (item := await queue.get()) is not None:
                calls.create_task(self._answer(*item))
        if self._pool is not None:
            await self._pool.close()

    async def _answer(self, work, timeout, answer):
        try:
            async with self._opening:
                self._pool = self._pool or await asyncpg.create_pool(
                    self._dsn, min_size=0, max_size=self._size
                )
            value = await asyncio.wait_for(work(self._pool), timeout)
        except Exception as error:
            answer.set_exception(error)
        else:
            answer.set_result(value)

    def close(self):
        with self._guard:
            first, self._closed = not self._closed, True
        if first and self._thread is not None:
            self._put(None)
        if self._thread is not None:
            self._thread.join()
