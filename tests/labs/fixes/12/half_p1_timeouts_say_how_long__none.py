"""Every TimeoutError that comes is told as one of this bridge."""

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
        self._opening: asyncio.Lock | None = None
        self._pool: asyncpg.Pool | None = None

    def run(self, work: Work[T], *, timeout: float = 10.0) -> T:
        """Return what `await work(pool)` returns."""
        if _on_a_loop():
            raise RuntimeError("a loop runs on this thread: await the work, or call from a thread")
        with self._lock:
            if self._closed:
                raise RuntimeError("the bridge is closed")
            future = asyncio.run_coroutine_threadsafe(self._call(work, timeout), self._started())
            self._calls.add(future)
        try:
            return future.result()
        except TimeoutError:
            raise TimeoutError(f"after {timeout} s") from None
        finally:
            self._calls.discard(future)

    def _started(self) -> asyncio.AbstractEventLoop:
        """Return the loop; start it on a thread that keeps no process alive."""
        if self._loop is None:
            self._loop, self._opening = asyncio.new_event_loop(), asyncio.Lock()
            self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
            self._thread.start()
        return self._loop

    async def _call(self, work: Work[T], within: float) -> T:
        pool = await self._opened()
        async with asyncio.timeout(within):
            return await work(pool)

    async def _opened(self) -> asyncpg.Pool:
        """Return the pool; make it once, and again only where that failed."""
        assert self._opening is not None
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(self._dsn, min_size=1, max_size=self._size)
            return self._pool

    def close(self) -> None:
        """Wait for the calls under way, and end the loop."""
        with self._lock:
            self._closed = True
            loop, self._loop = self._loop, None
        wait([*self._calls])
        if loop is not None:
            asyncio.run_coroutine_threadsafe(self._close_pool(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            assert self._thread is not None
            self._thread.join()
            loop.close()

    async def _close_pool(self) -> None:
        if self._pool is not None:
            await self._pool.close()
