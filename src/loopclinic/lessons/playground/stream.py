"""Load without an end: callers come when they are due, and go on coming whatever happens to them."""

import asyncio
from collections import Counter
from random import Random
from typing import Any

from loopclinic.lessons.playground.arrivals import Arrivals
from loopclinic.lessons.playground.settings import Settings
from loopclinic.load.connection import Connection

__all__ = ["Stream"]

_HOST = "127.0.0.1"
_FAILED = 400
_AGES = 400  # of requests in flight, the oldest: told at most
_IDLE = 256  # connections kept open without work


class _Caller:
    """One request from the moment it was due: its attempts follow one another."""

    __slots__ = ("attempts", "connection", "due", "opening", "timer")

    def __init__(self, due: float) -> None:
        self.due = due
        self.attempts = 0
        self.connection: Connection | None = None
        self.opening: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None


class Stream:
    """Plays arrivals against a port until closed. Latency counts from the due time.

    An attempt is given up after the timeout, and its connection dropped; a request that failed is
    sent again at once as often as the settings allow.
    """

    def __init__(self, port: int, settings: Settings, *, seed: int = 0) -> None:
        self.settings = settings
        self._port = port
        self._head = f"GET / HTTP/1.1\r\nHost: {_HOST}:{port}\r\nX-Loopclinic-Number: "
        self._loop = asyncio.get_running_loop()
        self._rng = Random(seed)  # noqa: S311 - arrivals, not secrets
        self._number = 0
        self._callers: dict[int, _Caller] = {}
        self._idle: list[Connection] = []
        self._began = self._since = self._loop.time()
        self._pump: asyncio.TimerHandle | None = None
        self._closed = False
        self._forget()
        self.turn(settings)

    def turn(self, settings: Settings) -> None:
        """Bring settings into force: the next arrival is drawn anew."""
        self.settings = settings
        self._arrivals = Arrivals(settings.rate, settings.bursts, self._rng)
        self._due, self._count = self._loop.time(), 0
        self._plan()

    def take(self) -> dict[str, Any]:
        """Return what has happened since the last call, as JSON values; times in seconds."""
        self._book()
        now = self._loop.time()
        ages = sorted((now - one.due for one in self._callers.values()), reverse=True)
        taken = {
            "at": now - self._began,
            "seconds": now - self._from,
            "latency": [round(one, 5) for one in self._latency],
            "failed": dict(self._failed),
            "sent": self._sent,
            "attempts": self._attempts,
            "late": self._late,
            "in_flight": len(self._callers),
            "in_flight_seconds": self._area,
            "ages": [round(age, 5) for age in ages[:_AGES]],
        }
        self._forget()
        return taken

    def close(self) -> None:
        """Stop sending; drop every connection."""
        self._closed = True
        if self._pump is not None:
            self._pump.cancel()
        for caller in self._callers.values():
            if caller.opening is not None:
                caller.opening.cancel()
            if caller.timer is not None:
                caller.timer.cancel()
            if caller.connection is not None:
                caller.connection.close()
        self._callers.clear()
        for connection in self._idle:
            connection.close()

    def _forget(self) -> None:
        self._latency: list[float] = []
        self._failed: Counter[str] = Counter()
        self._sent = self._attempts = 0
        self._late = self._area = 0.0
        self._from = self._loop.time()

    def _book(self) -> None:
        now = self._loop.time()
        self._area += (now - self._since) * len(self._callers)
        self._since = now

    def _plan(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
        gap, self._count = self._arrivals.next()
        self._due += gap
        self._pump = self._loop.call_at(self._due, self._arrive)

    def _arrive(self) -> None:
        # A timer may fire ahead of its time, by the resolution of the clock.
        now = max(self._loop.time(), self._due)
        while not self._closed and self._due <= now:
            self._late = max(self._late, now - self._due)
            for _ in range(self._count):
                self._book()
                self._number += 1
                caller = self._callers[self._number] = _Caller(self._due)
                self._sent += 1
                self._attempt(self._number, caller)
            self._plan()

    def _attempt(self, number: int, caller: _Caller) -> None:
        caller.attempts += 1
        self._attempts += 1
        began = caller.due if caller.attempts == 1 else self._loop.time()
        caller.timer = self._loop.call_at(
            began + self.settings.timeout, self._give_up, number, caller
        )
        while self._idle:
            connection = self._idle.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                self._send(number, caller, connection)
                return
        caller.opening = self._loop.create_task(self._open(number, caller))

    async def _open(self, number: int, caller: _Caller) -> None:
        connection = Connection(self._answered, self._lost)
        try:
            await self._loop.create_connection(lambda: connection, _HOST, self._port)
        except OSError as error:
            self._failed_attempt(number, caller, type(error).__name__)
        else:
            self._send(number, caller, connection)

    def _send(self, number: int, caller: _Caller, connection: Connection) -> None:
        caller.connection = connection
        connection.send(number, f"{self._head}{number}\r\n\r\n".encode())

    def _keep(self, connection: Connection) -> None:
        if len(self._idle) < _IDLE and not self._closed:
            self._idle.append(connection)
        else:
            connection.close()

    def _answered(self, connection: Connection, status: int, error: str | None) -> None:
        number, connection.request = connection.request, None
        self._keep(connection)
        caller = self._callers.get(number) if number is not None else None
        if number is None or caller is None or caller.connection is not connection:
            return
        caller.connection = None
        if status >= _FAILED:
            self._failed_attempt(number, caller, error or f"HTTP {status}")
        else:
            self._settle(number, caller, None)

    def _lost(self, connection: Connection) -> None:
        number, connection.request = connection.request, None
        if connection in self._idle:
            self._idle.remove(connection)
        caller = self._callers.get(number) if number is not None else None
        if number is not None and caller is not None and caller.connection is connection:
            caller.connection = None
            self._failed_attempt(number, caller, "connection lost")

    def _give_up(self, number: int, caller: _Caller) -> None:
        # A service that is stuck accepts nobody: the sockets of a storm would pile up without an end.
        if caller.opening is not None:
            caller.opening.cancel()
        connection, caller.connection = caller.connection, None
        if connection is not None:
            connection.close()
        self._failed_attempt(number, caller, "timeout")

    def _failed_attempt(self, number: int, caller: _Caller, why: str) -> None:
        if caller.timer is not None:
            caller.timer.cancel()
        if caller.attempts <= self.settings.retries and not self._closed:
            self._attempt(number, caller)
        else:
            self._settle(number, caller, why)

    def _settle(self, number: int, caller: _Caller, why: str | None) -> None:
        self._book()
        if self._callers.pop(number, None) is None:
            return
        if caller.timer is not None:
            caller.timer.cancel()
        if why is not None:
            self._failed[why] += 1
        if why in (None, "timeout"):  # one that was given up counts with what it waited
            self._latency.append(self._loop.time() - caller.due)
