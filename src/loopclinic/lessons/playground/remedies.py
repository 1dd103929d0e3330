"""What may be done about a call that blocks: nothing, threads, processes, or an awaitable twin."""

import asyncio
import contextlib
import functools
import importlib
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from loopclinic.lessons.playground import blocks
from loopclinic.lessons.playground.settings import Settings
from loopclinic.servers.twin import in_thread

__all__ = ["Remedies"]

_SLICE = 0.002  # seconds of computing between two turns of the loop
_CONNECTIONS = 32  # of the asynchronous driver at most: PostgreSQL admits a hundred of everybody


class Remedies:
    """Runs one block the way the settings say, on the running loop.

    `await prepare(settings)` before the first `run` with another remedy: pools start there.
    """

    def __init__(self) -> None:
        self.pace = blocks.Pace()
        self.dsn = ""
        self.on_loop = 0.0
        """Seconds for which blocks have held the loop."""
        self._pool: Executor | None = None
        self._pool_of: tuple[str, int] | None = None
        self._lock = threading.Lock()
        self._busy = 0
        self._begun = 0
        self._idle: list[Any] = []  # connections of the asynchronous driver
        self._admitted = asyncio.Semaphore(_CONNECTIONS)

    @property
    def busy(self) -> int:
        """Blocks that go on in threads or processes now."""
        if isinstance(self._pool, ProcessPoolExecutor) and self._pool_of is not None:
            return min(self._begun, self._pool_of[1])
        return self._busy

    @property
    def queued(self) -> int:
        """Blocks that wait for a thread or a process."""
        return self._begun - self.busy

    async def prepare(self, settings: Settings) -> None:
        """Start the pool that the settings need, and end one that they don't."""
        if settings.share and settings.how == "query":
            # Importing the driver takes longer than any query; not on the loop that is watched.
            await in_thread(functools.partial(importlib.import_module, "psycopg"))
        wanted = {"sized": "threads", "process": "processes"}.get(settings.remedy)
        key = (wanted, settings.threads) if wanted else None
        if key == self._pool_of:
            return
        old, self._pool = self._pool, None
        self._pool_of = key
        if old is not None:
            old.shutdown(wait=False)
        if wanted == "threads":
            self._pool = ThreadPoolExecutor(settings.threads, "sized")
        elif wanted == "processes":
            count = min(settings.threads, 4 * (os.cpu_count() or 1))
            pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"))
            loop = asyncio.get_running_loop()
            # A process that is still starting would be charged to the first who needs it.
            await asyncio.gather(
                *(loop.run_in_executor(pool, blocks.sleep, 0.05) for _ in range(count))
            )
            self._pool = pool

    async def run(self, settings: Settings) -> None:
        """Block once, or not, as the settings say."""
        match settings.remedy:
            case "none":
                began = asyncio.get_running_loop().time()
                self._call(settings)()
                self.on_loop += asyncio.get_running_loop().time() - began
            case "native":
                await self._native(settings)
            case _:
                await self._elsewhere(self._call(settings))

    async def close(self) -> None:
        """End pools and connections."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        blocks.close_connections()
        for connection in self._idle:
            await connection.close()

    def _call(self, settings: Settings) -> Callable[[], Any]:
        seconds = settings.block
        match settings.how:
            case "sleep":
                return functools.partial(blocks.sleep, seconds)
            case "query":
                return functools.partial(blocks.query, seconds, self.dsn)
            case "cpu":
                return functools.partial(blocks.compute, int(seconds * self.pace.compute))
        return functools.partial(blocks.hold, int(seconds * self.pace.hold))

    async def _elsewhere(self, call: Callable[[], Any]) -> None:
        self._begun += 1
        try:
            work = call if isinstance(self._pool, ProcessPoolExecutor) else self._counted(call)
            await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._begun -= 1

    def _counted(self, call: Callable[[], Any]) -> Callable[[], Any]:
        def work() -> None:
            with self._lock:
                self._busy += 1
            try:
                call()
            finally:
                with self._lock:
                    self._busy -= 1

        return work

    async def _native(self, settings: Settings) -> None:
        match settings.how:
            case "sleep":
                await asyncio.sleep(settings.block)
            case "query":
                await self._query(settings.block)
            case _:
                paced, work = self.pace.compute, blocks.compute
                if settings.how == "gil":
                    paced, work = self.pace.hold, blocks.hold
                for _ in range(max(1, round(settings.block / _SLICE))):
                    work(int(_SLICE * paced))
                    await asyncio.sleep(0)

    async def _query(self, seconds: float) -> None:
        import psycopg  # noqa: PLC0415 - only this kind needs it

        async with self._admitted:
            if self._idle:
                connection = self._idle.pop()
            else:
                connection = await psycopg.AsyncConnection.connect(self.dsn, autocommit=True)
            try:
                await connection.execute("SELECT pg_sleep(%s)", (seconds,))
            except BaseException:
                with contextlib.suppress(psycopg.Error):
                    await connection.close()
                raise
            self._idle.append(connection)
