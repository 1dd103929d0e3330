"""Ways to run the playground's blocking call: directly, in threads, in processes, or as an awaitable."""

import asyncio
import contextlib
import functools
import importlib
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from loopclinic.lessons.playground import blocks
from loopclinic.lessons.playground.settings import Settings, default_threads
from loopclinic.servers.sync_async import in_thread

_SLICE = 0.002  # seconds of computing between two turns of the loop
_CONNECTIONS = 32  # of the asynchronous driver at most: PostgreSQL admits a hundred of everybody


class Remedies:
    """Runs one block the way the settings say, on the running loop.

    `await prepare(settings)` before the first `run` with another remedy: pools start there.
    """

    def __init__(self) -> None:
        self._pace = {"cpu": blocks.pace(blocks.compute), "gil": blocks.pace(blocks.hold)}
        self.dsn = ""
        self.on_loop = 0.0
        """Seconds for which blocks have held the loop."""
        self._pool: Executor | None = None
        self._pool_of: tuple[str, int] | None = None
        self._workers = default_threads()
        self._begun = 0
        self._idle: list[Any] = []  # connections of the asynchronous driver
        self._admitted = asyncio.Semaphore(_CONNECTIONS)

    @property
    def busy(self) -> int:
        """Blocks that go on in threads or processes now."""
        return min(self._begun, self._workers)

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
        self._workers = default_threads()
        if old is not None:
            old.shutdown(wait=False)
        if wanted == "threads":
            self._workers = settings.threads
            self._pool = ThreadPoolExecutor(settings.threads, "sized")
        elif wanted == "processes":
            count = min(settings.threads, 4 * (os.cpu_count() or 1))
            pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"))
            loop = asyncio.get_running_loop()
            # A process that is still starting would be charged to the first who needs it.
            await asyncio.gather(
                *(loop.run_in_executor(pool, blocks.sleep, 0.05) for _ in range(count))
            )
            self._pool, self._workers = pool, count

    async def run(self, settings: Settings) -> None:
        """Run the blocking call in the way that the settings choose, if any."""
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
        return self._computing(settings.how, seconds)

    def _computing(self, how: str, seconds: float) -> Callable[[], Any]:
        work = blocks.compute if how == "cpu" else blocks.hold
        return functools.partial(work, int(seconds * self._pace[how]))

    async def _elsewhere(self, call: Callable[[], Any]) -> None:
        self._begun += 1
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, call)
        finally:
            self._begun -= 1

    async def _native(self, settings: Settings) -> None:
        match settings.how:
            case "sleep":
                await asyncio.sleep(settings.block)
            case "query":
                await self._query(settings.block)
            case _:
                work = self._computing(settings.how, _SLICE)
                for _ in range(max(1, round(settings.block / _SLICE))):
                    work()
                    await asyncio.sleep(0)

    async def _query(self, seconds: float) -> None:
        import psycopg  # only this kind needs it

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
