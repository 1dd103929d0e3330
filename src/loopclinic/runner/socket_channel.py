"""Channel between watched processes and their watcher: JSON lines over a local socket."""

import contextlib
import json
import os
import secrets
import selectors
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]
Address = str | tuple[str, int]
"""A path, or host and port where the system has no sockets in the file system."""

_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)  # a program may have SIGPIPE end it
_BACKLOG = 128
_CHUNK = 65536
_DESCRIPTORS = 8  # of one message at most


class Listener:
    """The watcher's end: hears all processes on one thread, from `start` until `close`.

    Calls `hear` with each message and the descriptors that came with it. Each has a `process`, which
    counts connections from 1; a message `gone` follows the last one of each. OSError if there is no room
    for a socket.
    """

    def __init__(self, hear: Callable[[Message, list[int]], object]) -> None:
        self._hear, self._token = hear, secrets.token_hex(16)
        self._folder: str | None = None
        self._count = 0
        if hasattr(socket, "AF_UNIX"):
            self._folder = tempfile.mkdtemp(prefix="loopclinic-")  # ours alone
            self._socket = socket.socket(socket.AF_UNIX)
            self.address: Address = os.path.join(self._folder, "run")  # noqa: PTH118 - a plain string
        else:
            self._socket = socket.socket()
            self.address = ("127.0.0.1", 0)
        self._socket.bind(self.address)
        self.address = self._socket.getsockname()
        self._socket.listen(_BACKLOG)
        self._socket.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._wake, waked = socket.socketpair()
        self._selector.register(waked, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._listen, name="loopclinic-run", daemon=True)

    def start(self) -> None:
        """Start reading; connections that were made before wait until then."""
        self._thread.start()

    @property
    def key(self) -> dict[str, Any]:
        """What a `Sender` is made of, as JSON values."""
        return {"address": self.address, "token": self._token}

    def close(self) -> None:
        """Read what was sent until now, then stop; later messages of processes that go on are lost."""
        self._wake.close()
        if self._thread.ident is None:
            self._listen()
        else:
            self._thread.join()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _listen(self) -> None:
        ending = False
        while True:
            ready = self._selector.select(0 if ending else None)
            told = False
            for key, _ in ready:
                if key.data is not None:
                    told = True
                    self._read(key.fileobj, key.data)  # type: ignore[arg-type]
                elif key.fileobj is self._socket:
                    told = True
                    self._accept()
                else:
                    ending = True
            if ending and not told:
                break
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._socket.accept()
            connection.setblocking(False)
            self._selector.register(connection, selectors.EVENT_READ, _Stream())

    def _read(self, connection: socket.socket, stream: "_Stream") -> None:
        try:
            data = self._received(connection, stream)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        for line in stream.lines(data):
            message = _parse(line)
            if message is None:
                continue
            if not stream.process:
                if message.get("token") != self._token:
                    data = b""
                    break
                self._count += 1
                stream.process = self._count
            count = message.pop("descriptors", 0)
            sent, stream.descriptors = stream.descriptors[:count], stream.descriptors[count:]
            self._hear({**message, "process": stream.process}, sent)
        if not data:
            self._selector.unregister(connection)
            connection.close()
            for descriptor in stream.descriptors:
                os.close(descriptor)
            if stream.process:
                self._hear({"kind": "gone", "process": stream.process}, [])

    @staticmethod
    def _received(connection: socket.socket, stream: "_Stream") -> bytes:
        if not hasattr(socket, "recv_fds"):
            return connection.recv(_CHUNK)
        data, descriptors, _, _ = socket.recv_fds(connection, _CHUNK, _DESCRIPTORS)
        stream.descriptors += descriptors
        return data


class _Stream:
    """What has come of one connection: its number, 0 until it has shown its token, and half a line."""

    def __init__(self) -> None:
        self.process = 0
        self.descriptors: list[int] = []
        self._rest = b""

    def lines(self, data: bytes) -> list[bytes]:
        *whole, self._rest = (self._rest + data).split(b"\n")
        return whole


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except ValueError:  # its sender was killed in the middle of a line
        return None
    return message if isinstance(message, dict) and "kind" in message else None


class Sender:
    """A watched process's end; `send` may be called from any thread.

    It connects with the first message, and says `hello` before it. The socket never reaches what the process
    starts. A forked process connects anew, or falls silent without `children`. Once the watcher is
    gone, nothing is sent.
    """

    def __init__(
        self, key: Message, hello: Callable[[], Message], *, children: bool = False
    ) -> None:
        self._key, self._hello, self._children = key, hello, children
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._own: tuple[int, int] | None = None
        self._gone = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    @property
    def open(self) -> bool:
        """Whether anybody hears what is sent."""
        return not self._gone

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send one message, and descriptors with it; do nothing where nobody reads."""
        if descriptors:
            message = {**message, "descriptors": len(descriptors)}
        data = _encoded(message)
        with self._lock:
            if self._gone:
                return
            try:
                if self._lost():
                    self._connect()
                assert self._socket is not None
                if descriptors:
                    sent = socket.send_fds(self._socket, [data], descriptors, _NO_SIGNAL)
                    data = data[sent:]
                self._socket.sendall(data, _NO_SIGNAL)
            except OSError:
                self._gone = True

    def close(self) -> None:
        """Send nothing more."""
        with self._lock:
            self._gone = True
            if not self._lost():
                assert self._socket is not None
                self._socket.close()

    def _lost(self) -> bool:
        """Return whether there is no connection: a program may close every descriptor, and use them anew."""
        if self._socket is None:
            return True
        if identity(self._socket.fileno()) == self._own:
            return False
        self._socket.detach()
        self._socket = None
        return True

    def _connect(self) -> None:
        address = self._key["address"]
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._socket = socket.socket(family)
        self._own = identity(self._socket.fileno())
        self._socket.connect(address if isinstance(address, str) else tuple(address))
        hello = {"kind": "hello", "token": self._key["token"], **self._hello()}
        self._socket.sendall(_encoded(hello), _NO_SIGNAL)

    def _forked(self) -> None:
        self._lock = threading.Lock()  # a thread of the parent may have held it
        if not self._lost():
            assert self._socket is not None
            self._socket.close()
        self._socket = None
        self._gone = self._gone or not self._children


def _encoded(message: Message) -> bytes:
    return json.dumps(message, default=str).encode() + b"\n"


def identity(descriptor: int) -> tuple[int, int] | None:
    """Return what tells one open file from another, None where the descriptor is closed."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino
