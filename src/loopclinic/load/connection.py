"""Minimal keep-alive HTTP/1.1 connection of the load generator."""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_BODY = {204, 304}


class Connection(asyncio.Protocol):
    """Sends one request at a time.

    `on_answer(connection, status, error)` is called once per `send`: `error` is the name of the
    exception that the server reports, or None. `on_lost(connection)` is called when the other
    side closes.
    """

    def __init__(
        self,
        on_answer: "Callable[[Connection, int, str | None], None]",
        on_lost: "Callable[[Connection], None]",
    ) -> None:
        self.transport: asyncio.Transport | None = None
        self.request: int | None = None
        self.used = 0
        self.heard = False
        self._answered = on_answer
        self._lost = on_lost
        self._buffer = bytearray()
        self._forget()

    def _forget(self) -> None:
        self._status = 0
        self._error: str | None = None
        self._left = -1  # bytes of the body still to come; -1: the head is still to come
        self._chunked = False
        self._until_close = False
        self._close = False

    def send(self, number: int, data: bytes) -> None:
        """Send a whole request."""
        assert self.transport is not None
        self.request = number
        self.heard = False
        self.used += 1
        self.transport.write(data)

    def close(self) -> None:
        """Drop the connection, whatever is under way."""
        self.request = None
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        del exc
        if self._until_close and self.request is not None:
            self._finish()
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.heard = True
        self._buffer += data
        if self._left < 0 and not self._read_head():
            return
        if self._until_close:
            self._buffer.clear()
        elif self._chunked:
            self._read_chunks()
        elif len(self._buffer) >= self._left:
            del self._buffer[: self._left]
            self._finish()

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        self._status = int(lines[0].split(b" ", 2)[1])
        length = None
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            match name.lower():
                case b"content-length":
                    length = int(value)
                case b"transfer-encoding":
                    self._chunked = b"chunked" in value.lower()
                case b"connection":
                    self._close = value.strip().lower() == b"close"
                case b"x-loopclinic-error":
                    self._error = value.strip().decode("latin-1")
        if self._status in _NO_BODY:
            length = 0
        self._left = length or 0
        self._until_close = length is None and not self._chunked
        return True

    def _read_chunks(self) -> None:
        while True:
            end = self._buffer.find(b"\r\n")
            if end < 0:
                return
            size = int(bytes(self._buffer[:end]).split(b";")[0], 16)
            if len(self._buffer) < end + 2 + size + 2:
                return
            del self._buffer[: end + 2 + size + 2]
            if size == 0:
                self._finish()
                return

    def _finish(self) -> None:
        status, error, close = self._status, self._error, self._close or self._until_close
        self._forget()
        if close and self.transport is not None:
            self.transport.close()
        self._answered(self, status, error)
