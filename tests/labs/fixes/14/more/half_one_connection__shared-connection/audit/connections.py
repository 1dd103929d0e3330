"""One connection for all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import AsyncConnection


class Connection:
    """A connection that all tasks use: the driver has its statements wait for each other."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.shared = connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Give it with a transaction."""
        async with self.shared.transaction():
            yield self.shared
