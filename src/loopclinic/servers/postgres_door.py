"""Where leases on PostgreSQL are taken: a port of 127.0.0.1, and a token that only its user can read.

Lines of JSON go over the connection: first the token, answered by where the server is; then requests,
each answered by one line. The lease ends with the connection.
"""

import contextlib
import hmac
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loopclinic.servers.process import ServerError

__all__ = ["Door", "Holder"]

_HANDSHAKE = 2.0


@dataclass(slots=True, eq=False)
class Holder:
    """One lease: the process that holds it, since when, and the databases that are its own."""

    connection: socket.socket
    pid: int
    label: str
    since: float = field(default_factory=time.time)
    databases: set[str] = field(default_factory=set)
    notice: str | None = None
    """What happened to the server under this lease and was not told yet."""

    def to_dict(self) -> dict[str, Any]:
        """Return what `status` shows of it."""
        return {
            "pid": self.pid,
            "label": self.label,
            "seconds": time.time() - self.since,
            "databases": sorted(self.databases),
        }


class Door:
    """Lets holders in and answers them, each in a thread of its own.

    `news` guards `holders` and is notified when one leaves. `greet` gives the answer to the token,
    `answer` that to a request, and `leave` is called for a holder before it counts as gone. Once
    `closed` is set nobody gets in, so that nobody is let in and sent away at once.
    """

    def __init__(
        self,
        news: threading.Condition,
        greet: Callable[[], Any],
        answer: Callable[[Holder, Any], Any],
        leave: Callable[[Holder], None],
    ) -> None:
        self.token = secrets.token_urlsafe(24)
        self.holders: list[Holder] = []
        self.empty_since = time.monotonic()
        self._news = news
        self._greet = greet
        self._answer = answer
        self._leave = leave
        self.closed = False
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)

    @property
    def port(self) -> int:
        """The port to knock at."""
        port: int = self._socket.getsockname()[1]
        return port

    def open(self) -> None:
        """Let holders in from now on."""
        threading.Thread(target=self._welcome, daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more, and hang up on everybody."""
        with self._news:
            self.closed = True
            holders = list(self.holders)
        self._socket.close()
        for holder in holders:
            with contextlib.suppress(OSError):
                holder.connection.shutdown(socket.SHUT_RDWR)

    def _welcome(self) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: socket.socket) -> None:
        # A stranger's nonsense, and a holder's death in the middle of a line, end the connection.
        with connection, contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            connection.settimeout(_HANDSHAKE)
            lines = connection.makefile("rb")
            hello = json.loads(lines.readline(4096))
            if not hmac.compare_digest(str(hello["token"]).encode(), self.token.encode()):
                return
            connection.settimeout(None)
            holder = Holder(connection, int(hello["pid"]), str(hello["label"]))
            with self._news:
                if self.closed:
                    return
                if hello["lease"]:
                    self.holders.append(holder)
            try:
                _say(connection, self._greet())
                for line in lines:
                    _say(connection, self._reply(holder, json.loads(line)))
            finally:
                self._let_out(holder)

    def _reply(self, holder: Holder, request: Any) -> dict[str, Any]:
        try:
            return {"value": self._answer(holder, request)}
        except ServerError as error:
            return {"error": str(error), "detail": error.detail}

    def _let_out(self, holder: Holder) -> None:
        try:
            self._leave(holder)
        finally:
            with self._news:
                if holder in self.holders:
                    self.holders.remove(holder)
                    self.empty_since = time.monotonic()
                self._news.notify_all()


def _say(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")
