"""Lab 12: asyncio.run() cannot be called from a running event loop.

A Celery worker makes one `Bridge`, and its tasks run async code by it, from several threads at once.
Each call makes an event loop and a pool of connections, and throws them away. Fix that.

What `Bridge(dsn, size=...)` must do when you are done:

1. `run(work, timeout=...)` calls `await work(pool)` and returns what that returns, the same object. An
   error that `work` raises reaches the caller, with its class and its arguments.
2. All calls of the process, from whatever thread, share one event loop and one `asyncpg.Pool` of at most
   `size` connections; also the first calls, however many come together.
3. `Bridge(...)` itself starts no thread and opens no connection: a worker may fork after it. The first call
   does. If opening fails, that call raises, and the next one tries again.
4. Calls of several threads overlap: all that are made run at once. Only connections are limited.
5. Called where an event loop runs already, in another one or in `work` itself, `run` raises RuntimeError,
   and `work` is not begun.
6. When `work` has run for `timeout` seconds it is cancelled, and `run` raises TimeoutError. By then `work`
   has ended with its clean-up, and its connection is free.
7. `close()` waits for the calls under way, and leaves no connection, no thread and no open loop. From its
   beginning `run` raises RuntimeError. It may be called twice, and before the first call of `run`. A
   process that ends without it ends all the same.

Keep these names and signatures: `Bridge`, `run`, `close`. The rest is yours to change.

How it is judged: `loopclinic check 12`, or `loopclinic watch 12` for a verdict on every save. A real Celery
worker with 16 threads calls `run`, with Valkey as its broker; PostgreSQL is asked for its connections.
Hundreds of calls may make one loop and `size` connections. A timeout is 300 ms, and `run` may take 2 s for it.
When `close()` has returned, PostgreSQL has 500 ms to notice, and threads have 500 ms to end. A process
that does not close has 3 s to end.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

T = TypeVar("T")


class Bridge:
    """Runs async work for synchronous callers; one for each worker process."""

    def __init__(self, dsn: str, *, size: int = 4) -> None:
        self._dsn, self._size = dsn, size
        self._closed = False

    def run(
        self, work: Callable[[asyncpg.Pool], Awaitable[T]], *, timeout: float = 10.0
    ) -> T:
        """Return what `await work(pool)` returns."""
        if self._closed:
            raise RuntimeError("the bridge is closed")
        return asyncio.run(self._call(work, timeout))

    async def _call(self, work: Callable[[asyncpg.Pool], Awaitable[T]], timeout: float) -> T:
        async with asyncpg.create_pool(self._dsn, min_size=1, max_size=self._size) as pool:
            async with asyncio.timeout(timeout):
                return await work(pool)

    def close(self) -> None:
        """Refuse further calls."""
        self._closed = True
