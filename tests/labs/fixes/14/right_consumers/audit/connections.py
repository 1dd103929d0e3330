"""A pool made by hand: connections in a queue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import AsyncConnection


class Connections:
    """At most `size` connections, opened when they are first needed."""

    def __init__(self, dsn: str, size: int) -> None:
        self.dsn = dsn
        self.idle: asyncio.LifoQueue[AsyncConnection | None] = asyncio.LifoQueue()
        for _ in range(size):
            self.idle.put_nowait(None)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection with a transaction; commit at the end, roll back on any error."""
        connection = await self.idle.get()
        try:
            if connection is None or connection.closed:
                connection = await AsyncConnection.connect(self.dsn, autocommit=True)
            async with connection.transaction():
                yield connection
        finally:
            self.idle.put_nowait(connection)

    async def close(self) -> None:
        """Close them all."""
        while not self.idle.empty():
            if (connection := self.idle.get_nowait()) is not None:
                await connection.close()
