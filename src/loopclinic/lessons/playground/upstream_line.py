"""The service's connections to its upstream: as little work a call as possible."""

import asyncio
from urllib.parse import urlsplit

from loopclinic.load.connection import Connection

__all__ = ["UpstreamLine"]


class UpstreamLine:
    """Keeps connections open and reuses them; how many are used at once is for the caller to bound."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port or 80
        self._head = f"GET /work HTTP/1.1\r\nHost: {address.netloc}\r\nX-Loopclinic-Seconds: "
        self._idle: list[Connection] = []
        self._answers: dict[Connection, asyncio.Future[int]] = {}

    async def ask(self, seconds: float) -> int:
        """Have the upstream work for so many seconds; return its HTTP status.

        Raises:
            ConnectionError: it closed the connection, or does not listen.
        """
        connection = await self._connection()
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answers[connection] = answer
        connection.send(0, f"{self._head}{seconds:.6f}\r\n\r\n".encode())
        try:
            return await answer
        except asyncio.CancelledError:
            self._answers.pop(connection, None)
            connection.close()
            raise

    def close(self) -> None:
        """Drop all connections."""
        for connection in (*self._idle, *self._answers):
            connection.close()
        self._idle.clear()

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                return connection
        connection = Connection(self._answered, self._lost)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: connection, self._host, self._port)
        return connection

    def _answered(self, connection: Connection, status: int, error: str | None) -> None:
        del error
        connection.request = None
        answer = self._answers.pop(connection, None)
        self._idle.append(connection)
        if answer is not None and not answer.done():
            answer.set_result(status)

    def _lost(self, connection: Connection) -> None:
        answer = self._answers.pop(connection, None)
        if connection in self._idle:
            self._idle.remove(connection)
        if answer is not None and not answer.done():
            answer.set_exception(ConnectionResetError("the upstream closed the connection"))
