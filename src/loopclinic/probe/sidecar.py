"""Witness process: notices from outside that a call keeps the GIL, and reads which call it is.

Its arguments are PID BEAT MEMORY REPORTS KNOWN TOKEN PACKAGE LIBRARY...

BEAT is a descriptor of shared memory in which the watchdog leaves the time and both threads every
few milliseconds, and zeros until the program may be read. When that time is too old, and one call of a
thread is found to keep the GIL, that thread's stack is read: through MEMORY, a descriptor of the
program's memory, by what the program has said of itself in KNOWN (JSON), or by CPython's own reader
where that is null. Nothing happens in the program. What was read goes to REPORTS, a JSON line each,
for the watchdog to read as soon as it can, and meanwhile to whoever listens by HTTP (server-sent
events), with TOKEN, on the port that the first line of REPORTS names. PACKAGE is the folder of
loopclinic, LIBRARY are folders whose code is not the user's own.
"""

import contextlib
import json
import mmap
import os
import select
import signal
import socket
import struct
import time
from typing import NamedTuple

from loopclinic.probe.gil_holder import Holder, HolderCheck, Look, account
from loopclinic.probe.remote_stack import (
    GoneError,
    Memory,
    MemoryReader,
    Place,
    Reader,
    RemoteReader,
    UnreadableError,
    of_json,
)

INTERVAL = 0.01  # seconds between beats at most
REPEAT = 0.1  # seconds between two readings of a stall that has not moved on
BEAT = struct.Struct("dqqd")


class Beat(NamedTuple):
    """What the watchdog says each time that it could have the GIL."""

    at: float
    """When, on the clock that all processes share; 0 if there is nothing to watch."""
    loop: int
    watchdog: int
    """Both threads, as the kernel knows them."""
    every: float = 0.0
    """Seconds until the next one, where it comes more rarely than it should: the loop rests."""


class Seen(NamedTuple):
    """A call that keeps the GIL, at one moment. Times in seconds."""

    at: float
    silent: float
    """Since nobody else has had the GIL."""
    thread: int
    """Its thread as the kernel knows it, 0 for the loop's."""
    frames: list[Place]
    """Outermost first."""


class Watch:
    """Finds the calls that keep the GIL from one loop's watchdog; to be asked every few milliseconds."""

    def __init__(
        self, pid: int, reader: Reader, interval: float = INTERVAL, calm: float = 0.6
    ) -> None:
        self._pid, self._reader, self._calm = pid, reader, calm * interval
        self._interval = interval
        self._check = HolderCheck()
        self._told: tuple[float, object] = 0.0, None  # when, and where the thread was
        self._at: object = None
        self.pause = self._calm
        """Seconds until the next look."""

    def look(self, shared: mmap.mmap, offset: int = 0) -> Seen | None:
        """Return what is seen at this moment, None where all is well or nothing is certain.

        Raises:
            GoneError: there is no such program any more.
        """
        now, beat = time.perf_counter(), Beat(*BEAT.unpack_from(shared, offset))
        silent, every = now - beat.at, max(self._interval, beat.every)
        self.pause = max(self._calm, 2 * beat.every)
        if beat.at == 0 or silent < 1.1 * every:
            return None
        self.pause = self._interval / 5
        look = Look(beat.at, silent, account(self._pid, beat.watchdog))
        sure = self._check.certain(look, lambda: self._holder(beat))
        told, there = self._told
        if not sure or silent < 2 * every or (self._at == there and now - told < REPEAT):
            return None
        found = self._reader.stack()
        if found is None or not found[1] or BEAT.unpack_from(shared, offset)[0] != beat.at:
            return None
        self._told = now, self._at
        thread, frames = found
        return Seen(
            now, silent - every + self._interval, thread if thread != beat.loop else 0, frames
        )

    def _holder(self, beat: Beat) -> Holder | None:
        self._at = found = self._reader.position()
        if found is None or found[0] == beat.watchdog:
            return None
        return Holder(found, account(self._pid, found[0]))


class EventServer:
    """Sends what is found to browsers (server-sent events), on 127.0.0.1 and only with the token."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.setblocking(False)
        self.port = self.server.getsockname()[1]
        self.poller = select.poll()
        self.poller.register(self.server, select.POLLIN)
        self.clients: list[socket.socket] = []

    def accept(self, wait: float) -> None:
        """Accept one client that connects within `wait` seconds and knows the token."""
        if not self.poller.poll(wait * 1000):
            return
        try:
            client, _ = self.server.accept()
        except OSError:
            return
        client.settimeout(0.05)
        try:
            request = client.recv(4096).split(b"\r\n", 1)[0].split()
            if len(request) < 2 or request[1] != b"/" + self.token.encode():
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                client.close()
                return
            client.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Cache-Control: no-store\r\nAccess-Control-Allow-Origin: *\r\n\r\n: hello\n\n"
            )
        except OSError:
            client.close()
            return
        client.setblocking(False)
        self.clients = [*self.clients[-7:], client]

    def send(self, text: str) -> None:
        """Send one event to every client; close those that can't take it at once."""
        for client in self.clients[:]:
            try:
                client.sendall(f"data: {text}\n\n".encode())
            except OSError:
                client.close()
                self.clients.remove(client)


class PipeWriter:
    """Writes texts to a pipe that may be full: each of them whole, or not at all."""

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


def reader_of(pid: int, memory: Memory, known: str) -> Reader:
    """Return what reads the program `pid`, which has described itself by `known`, and has read it once.

    Raises:
        PermissionError: the kernel does not let this process read that one.
        GoneError: there is no such program any more.
    """
    found = of_json(known)
    if found is None:
        return RemoteReader(pid, memory)
    try:
        memory.word(found.state)
    except UnreadableError:
        raise PermissionError("its memory can't be read") from None
    return MemoryReader(memory, found)


def named(frames: list[Place], package: str, library: list[str]) -> dict[str, object] | None:
    """Return file, line and source of the innermost frame of the user's own, lessons included.

    None where the loop itself is at rest: whoever keeps the GIL is another thread.
    """
    # The wrap around the selector, and the selector's own select below it.
    if any(file.startswith(package) and name == "timed" for file, _, name in frames[-2:]):
        return None
    others = ("<frozen", *library)
    own = [
        frame
        for frame in frames
        if not frame[0].startswith(others)
        and (not frame[0].startswith(package) or frame[0].startswith(f"{package}lessons/"))
    ]
    file, line, _ = (own or frames)[-1]
    code = ""
    with contextlib.suppress(OSError, ValueError, IndexError):
        code = open(file, encoding="utf-8").read().splitlines()[line - 1].strip()  # noqa: SIM115, PTH123
    return {"file": file, "line": line, "code": code}


def watch(arguments: list[str]) -> None:
    """Look until the program is gone.

    Raises:
        GoneError: it is.
    """
    pid, beat, mem, reports = map(int, arguments[:4])
    known, token, package, *library = arguments[4:]
    shared = mmap.mmap(beat, BEAT.size, prot=mmap.PROT_READ)
    server = EventServer(token)
    reporter = PipeWriter(reports)

    def report(values: dict[str, object]) -> None:
        if not reporter.send(json.dumps(values).encode() + b"\n"):
            raise GoneError

    memory = Memory(mem)
    while os.getppid() == pid and not BEAT.unpack_from(shared)[0]:
        memory.ensure()
        server.accept(INTERVAL)
    try:
        program = Watch(pid, reader_of(pid, memory, known))
    except (OSError, RuntimeError) as error:
        report(
            {"refused": f"the kernel does not let the process beside it read its memory: {error}"}
        )
        return
    report({"port": server.port})
    reported = 0.0
    while os.getppid() == pid:
        seen = program.look(shared)
        if seen is not None:
            line = named(seen.frames, package, library)
            if line is not None:
                told = {"silent": seen.silent, "other": bool(seen.thread), **line}
                server.send(json.dumps(told))
            # Nobody reads them before the call is over: of a long one rarely, or the pipe is full by then.
            if seen.at - reported >= max(REPEAT, seen.silent / 16):
                reported = seen.at
                report(seen._asdict())
        server.accept(program.pause)


def main(arguments: list[str]) -> None:
    """Watch, and end as quietly as the program does."""
    # The watchdog's thread, which starts it, has none.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted notebook goes on being watched
    with contextlib.suppress(GoneError):
        watch(arguments)
