"""Six ways to call async code from a web server, as notebook 03 shows them, and what each costs.

A way is made once per process, `way(dsn)`, and asked by the threads of the server, `store(update)`.
"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from concurrent.futures import Future

SIZE = 4
"""Connections of a pool."""

_RECORD = """
    with fresh as (
        insert into updates (id, message_id, status) values ($1, $2, $3)
        on conflict (id) do nothing returning message_id, status
    )
    update messages set status = fresh.status, updates = updates + 1
    from fresh where messages.id = fresh.message_id
"""


async def record(database: Any, update: dict[str, Any]) -> None:
    """Store an update; one that is stored already stays as it is."""
    await database.execute(_RECORD, update["id"], update["message"], update["status"])


class LoopPerRequest:
    """A loop and a pool for each request, which waits for them: rung 1."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def store(self, update: dict[str, Any]) -> None:
        """Store an update."""
        asyncio.run(self.work(update))

    async def work(self, update: dict[str, Any]) -> None:
        """Store an update over a pool of its own."""
        async with asyncpg.create_pool(self.dsn, min_size=1, max_size=SIZE) as pool:
            await record(pool, update)


class DaemonThreads(LoopPerRequest):
    """The same on a daemon thread, and nobody waits for it: the lab as it ships."""

    def store(self, update: dict[str, Any]) -> None:
        """Let a thread store an update, and return at once."""
        threading.Thread(target=asyncio.run, args=[self.work(update)], daemon=True).start()


class Bridge:
    """One loop on a thread of its own, with one pool, for all threads: rung 2."""

    def __init__(self, dsn: str) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.pool = self.cross(self.open(dsn)).result()

    async def open(self, dsn: str) -> Any:
        """Open the pool, on the loop that will use it."""
        return await asyncpg.create_pool(dsn, min_size=1, max_size=SIZE)

    def cross(self, work: Coroutine[Any, Any, Any]) -> "Future[Any]":
        """Start work on the loop, from any other thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def store(self, update: dict[str, Any]) -> None:
        """Store an update, however long it takes."""
        self.cross(record(self.pool, update)).result()


class DrainedBridge(Bridge):
    """A deadline inside the work, and at SIGTERM nobody is left on the bridge: rung 3."""

    def store(self, update: dict[str, Any]) -> None:
        """Store an update; raises TimeoutError after half a second, and ends the work."""
        self.cross(self.in_time(update)).result()

    async def in_time(self, update: dict[str, Any]) -> None:
        """Store an update within half a second."""
        async with asyncio.timeout(0.5):
            await record(self.pool, update)

    async def drain(self) -> None:
        """Wait for what is under way, then close the pool, on its own loop."""
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        await self.pool.close()

    def close(self) -> None:
        """Drain the bridge, at SIGTERM."""
        self.cross(self.drain()).result()


class AsyncView:
    """Flask's own `async def` view: it, too, gets a loop of its own for each request."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    async def store(self, update: dict[str, Any]) -> None:
        """Store an update over a connection of its own: no pool survives its loop."""
        connection = await asyncpg.connect(self.dsn)
        try:
            await record(connection, update)
        finally:
            await connection.close()


class Native:
    """An async framework: the server's own loop, and no bridge at all."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    async def open(self) -> None:
        """Open the pool, on the loop of the server."""
        self.pool = await asyncpg.create_pool(self.dsn, min_size=1, max_size=SIZE)

    async def store(self, update: dict[str, Any]) -> None:
        """Store an update within half a second."""
        async with asyncio.timeout(0.5):
            await record(self.pool, update)

    async def close(self) -> None:
        """Close the pool."""
        await self.pool.close()


COSTS = {
    "DaemonThreads": "loses updates, and nobody notices",
    "LoopPerRequest": "a loop and a pool for each request",
    "AsyncView": "a loop for each request, made by Flask",
    "Bridge": "no answer while the database hangs",
    "DrainedBridge": "a thread that waits, for each request",
    "Native": "the move away from Flask",
    "record_alone": "the bound: without any web",
}
"""What each asks in return."""
