import socket
from types import TracebackType


class Statsd:
    """Counters over TCP, flushed when there are enough."""

    def __init__(self, host: str, port: int = 8125) -> None:
        self.target = (host, port)
        self.buffer: list[str] = []

    def incr(self, name: str) -> None:
        self.buffer.append(f"{name}:1|c")

    def lookup(self) -> str:
        return socket.getaddrinfo(*self.target)[0][4][0]

    def flush(self) -> None:
        with socket.create_connection(self.target, timeout=1) as sock:
            sock.sendall("\n".join(self.buffer).encode())
        self.buffer.clear()


class Timed:
    def __init__(self, statsd: Statsd, name: str) -> None:
        self.statsd = statsd
        self.name = name

    def __enter__(self) -> "Timed":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.statsd.incr(self.name)
        self.statsd.flush()
