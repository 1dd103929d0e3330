"""Threads that come together each start a loop."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

import asyncpg

T = TypeVar("T")
Work = Callable[[asyncpg.Pool], Awaitable[T]]


def _on_a_loop() -> bool:
    """Return whether a loop runs on this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Bridge:
    """Runs async work for synchronous callers; one for each worker process."""

    def __init__(self, dsn: str, *, size: int = 4) -> None:
        self._dsn, self._size = dsn, size
        self._lock = threading.Lock()
        self._calls = set[Future[Any]]()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._opening = dict[Any, Any]()
        self._all = list[Any]()

    def run(self, work: Work[T], *, timeout: float = 10.0) -> T:
        """Return what `await work(pool)` returns."""
        if _on_a_loop():
            raise RuntimeError("a loop runs on this thread: await the work, or call from a thread")
        loop = self._started()
        with self._lock:
            if self._closed:
                raise RuntimeError("the bridge is closed")
            future = asyncio.run_coroutine_threadsafe(self._call(work, timeout, loop), loop)
            self._calls.add(future)
        try:
            return future.result()
        finally:
            self._calls.discard(future)

    def _started(self) -> asyncio.AbstractEventLoop:
        """Return the loop; start it on a thread that keeps no process alive."""
        if self._closed:
            raise RuntimeError("the bridge is closed")
        if self._loop is None:
            loop, pools = asyncio.new_event_loop(), list[asyncpg.Pool]()
            thread = threading.Thread(target=loop.run_forever, daemon=True)
            thread.start()
            self._all.append((loop, thread, pools))
            self._opening[loop] = asyncio.Lock(), pools
            self._loop = loop
            return loop
        return self._loop

    async def _call(self, work: Work[T], timeout: float, loop: Any) -> T:
        pool = await self._opened(loop)
        async with asyncio.timeout(timeout):
            return await work(pool)

    async def _opened(self, loop: Any) -> asyncpg.Pool:
        lock, pools = self._opening[loop]
        async with lock:
            if not pools:
                pools.append(await asyncpg.create_pool(self._dsn, min_size=1, max_size=self._size))
            return pools[0]

    def close(self) -> None:
        """Wait for the calls under way, and end the loop."""
        with self._lock:
            self._closed = True
        wait([*self._calls])
        while self._all:
            loop, thread, pools = self._all.pop()
            for pool in pools:
                asyncio.run_coroutine_threadsafe(_closed(pool), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _closed(pool: asyncpg.Pool) -> None:
    await pool.close()
