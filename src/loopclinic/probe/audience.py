"""Who hears of what the process beside the program finds: browsers by HTTP, the program by a pipe."""

import os
import select
import socket

__all__ = ["Audience", "Line"]


class Audience:
    """Browsers that listen to what is found, on 127.0.0.1 and only with the token."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.setblocking(False)
        self.port = self.server.getsockname()[1]
        self.door = select.poll()
        self.door.register(self.server, select.POLLIN)
        self.listeners: list[socket.socket] = []

    def welcome(self, wait: float) -> None:
        """Let in who comes to the door within `wait` seconds."""
        if not self.door.poll(wait * 1000):
            return
        try:
            guest, _ = self.server.accept()
        except OSError:
            return
        guest.settimeout(0.05)
        try:
            request = guest.recv(4096).split(b"\r\n", 1)[0].split()
            if len(request) < 2 or request[1] != b"/" + self.token.encode():  # noqa: PLR2004
                guest.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                guest.close()
                return
            guest.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Cache-Control: no-store\r\nAccess-Control-Allow-Origin: *\r\n\r\n: hello\n\n"
            )
        except OSError:
            guest.close()
            return
        guest.setblocking(False)
        self.listeners = [*self.listeners[-7:], guest]

    def tell(self, text: str) -> None:
        """Send one event to everybody; whoever can't take it at once is let go."""
        for listener in self.listeners[:]:
            try:
                listener.sendall(f"data: {text}\n\n".encode())
            except OSError:
                listener.close()
                self.listeners.remove(listener)


class Line:
    """Sends texts through a pipe that may be full: each of them whole, or not at all."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.begun = b""

    def send(self, text: bytes) -> bool:
        """Send one text, or drop it where nobody has read for long; False if nobody can any more."""
        try:
            while self.begun:
                self.begun = self.begun[os.write(self.descriptor, self.begun) :]
            # A pipe takes a part of what is longer than PIPE_BUF; the rest of it goes first then.
            self.begun = text[os.write(self.descriptor, text) :]
        except BlockingIOError:
            return True  # the latest are not worth more than the first
        except OSError:
            return False
        return True
