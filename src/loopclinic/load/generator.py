"""Load generator process: sends requests on schedule, and measures its own lateness."""

import asyncio
import gc
from array import array
from collections import Counter
from typing import Any

from loopclinic.load.connection import Connection
from loopclinic.servers.lifeline import ParentLink

_FAILED = 400
_HOST = "127.0.0.1"


class Run:
    """One load against one port. Times on the loop's clock, latency from the due time."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.port: int = order["port"]
        self.due: list[float] = order["due"]
        self.timeout: float = order["timeout"]
        self.heads = [_head(order, body) for body in order["bodies"]]
        self.latency = array("d", [-1.0]) * len(self.due)
        self.late = array("d", [0.0]) * len(self.due)
        self.errors: dict[int, str] = {}
        self.idle: list[Connection] = []
        self.open: set[Connection] = set()
        self.pending: dict[int, asyncio.TimerHandle] = {}
        self.opening: set[asyncio.Task[None]] = set()
        self.next = 0
        self.in_flight = self.peak = 0
        self.began = self.ended = 0.0

    async def play(self) -> dict[str, Any]:
        """Send every request when it is due; return when all were answered or given up."""
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self.loop.create_future()
        gc.collect()
        gc.disable()  # a collection here would be charged to the server
        try:
            self.began = self.loop.time() + 0.02
            self.loop.call_at(self.began, self._pump)
            await self.done
        finally:
            gc.enable()
            for connection in tuple(self.open):
                connection.close()
        return self._report()

    def _pump(self) -> None:
        due, total = self.due, len(self.due)
        while self.next < total:
            number = self.next
            at = self.began + due[number]
            now = self.loop.time()
            if at > now:
                self.loop.call_at(at, self._pump)
                return
            self.next += 1
            self.late[number] = now - at
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
            give_up = at + self.timeout
            self.pending[number] = self.loop.call_at(give_up, self._give_up, number)
            self._send(number)

    def _request(self, number: int) -> bytes:
        before, after = self.heads[number % len(self.heads)]
        return b"%b%d%b" % (before, number, after)

    def _send(self, number: int, *, fresh: bool = False) -> None:
        while self.idle and not fresh:
            connection = self.idle.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                connection.send(number, self._request(number))
                return
        task = self.loop.create_task(self._open(number))
        self.opening.add(task)
        task.add_done_callback(self.opening.discard)

    async def _open(self, number: int) -> None:
        connection = Connection(self._answered, self._lost)
        try:
            await self.loop.create_connection(lambda: connection, _HOST, self.port)
        except OSError as error:
            self._settle(number, error=type(error).__name__)
            return
        self.open.add(connection)
        if number in self.pending:
            connection.send(number, self._request(number))
        else:
            self.idle.append(connection)

    def _answered(self, connection: Connection, status: int, error: str | None) -> None:
        number, connection.request = connection.request, None
        if connection.transport is not None and not connection.transport.is_closing():
            self.idle.append(connection)
        if number is not None:
            if status >= _FAILED:
                error = error or f"HTTP {status}"
            self._settle(number, error=error)

    def _lost(self, connection: Connection) -> None:
        self.open.discard(connection)
        number, connection.request = connection.request, None
        if number is None or number not in self.pending:
            return
        if connection.used > 1 and not connection.heard:
            # It was closed as an idle one just before this request reached it.
            self._send(number, fresh=True)
        else:
            self._settle(number, error="connection lost")

    def _give_up(self, number: int) -> None:
        for connection in self.open:
            if connection.request == number:
                connection.close()
                break
        self._settle(number, error="timeout")

    def _settle(self, number: int, *, error: str | None) -> None:
        timer = self.pending.pop(number, None)
        if timer is None:
            return
        timer.cancel()
        self.ended = self.loop.time()
        self.in_flight -= 1
        if error is not None:
            self.errors[number] = error
        self.latency[number] = self.ended - self.began - self.due[number]
        if self.next == len(self.due) and not self.pending and not self.done.done():
            self.done.set_result(None)

    def _report(self) -> dict[str, Any]:
        return {
            "latency": [round(seconds, 6) for seconds in self.latency],
            "late": [round(seconds, 6) for seconds in self.late],
            "failed": {str(number): error for number, error in self.errors.items()},
            "errors": dict(Counter(self.errors.values()).most_common()),
            "peak_in_flight": self.peak,
            "makespan": self.ended - self.began,
        }


def _head(order: dict[str, Any], body: str) -> tuple[bytes, bytes]:
    """Return what goes before and after the request's number."""
    before = (
        f"{order['method']} {order['path']} HTTP/1.1\r\n"
        f"Host: {_HOST}:{order['port']}\r\nX-Loopclinic-Number: "
    )
    data = b"" if order["method"] == "GET" else body.encode()
    kind = f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n" if data else ""
    return before.encode(), f"\r\n{kind}\r\n".encode() + data


async def main(link: ParentLink) -> None:
    """Play loads until the parent is gone."""
    await link.serve("generator", lambda order: Run(order).play())
