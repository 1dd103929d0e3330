"""HTTP connections of the playground, kept open and reused: callers to service, service to upstream."""

import asyncio

from loopclinic.load.connection import Connection

_IDLE = 256  # connections kept open without work


class LostError(ConnectionError):
    """The server closed the connection instead of answering."""


class ConnectionPool:
    """Sends requests; how many are under way at once is for the caller to bound."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[Connection] = []
        self._answers: dict[Connection, asyncio.Future[tuple[int, str | None]]] = {}
        self._closed = False

    async def ask(self, request: bytes) -> tuple[int, str | None]:
        """Send a request; return HTTP status, and the name of the error that the server reports.

        If cancelled, its connection is dropped: the server need not notice.

        Raises:
            LostError: the server closed the connection.
            OSError: it does not listen.
        """
        connection = await self._connection()
        answer: asyncio.Future[tuple[int, str | None]] = asyncio.get_running_loop().create_future()
        self._answers[connection] = answer
        connection.send(0, request)
        try:
            return await answer
        except asyncio.CancelledError:
            self._answers.pop(connection, None)
            connection.close()
            raise

    def close(self) -> None:
        """Drop all connections."""
        self._closed = True
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
        connection.request = None
        answer = self._answers.pop(connection, None)
        if len(self._idle) < _IDLE and not self._closed:
            self._idle.append(connection)
        else:
            connection.close()
        if answer is not None and not answer.done():
            answer.set_result((status, error))

    def _lost(self, connection: Connection) -> None:
        answer = self._answers.pop(connection, None)
        if connection in self._idle:
            self._idle.remove(connection)
        if answer is not None and not answer.done():
            answer.set_exception(LostError("the server closed the connection"))
