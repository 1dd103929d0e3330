"""The process beside the program: notices that nothing in it can run, and asks where it stands.

Run as a script, without site and without the rest of loopclinic, so that it starts in milliseconds:

    python -I -S sidecar.py PID SIGNAL BEAT DUMPS REPORTS PATIENCE TOKEN LIBRARY...

BEAT is a descriptor of shared memory in which the watchdog leaves the time and both threads every
few milliseconds. When that time is older than PATIENCE seconds, and the kernel's accounts of both
threads say that the one waits for the GIL and the other does not let go of it, the loop's thread is
sent SIGNAL, which faulthandler answers on DUMPS with its stack, without needing the GIL. A thread that
runs Python must not be asked: its frames may be half made then, and to read them ends the program.
What it said goes to REPORTS, a JSON line each, for the watchdog to read as soon as it can, and
meanwhile to whoever listens by HTTP (server-sent events), with TOKEN, on the port that the first
line of REPORTS names. LIBRARY are folders whose code is not the user's own.
"""

import contextlib
import json
import mmap
import os
import re
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

BEAT = struct.Struct(
    "dqq"
)  # time (perf_counter), native ids of the loop's and the watchdog's thread
PERIOD = 0.006  # seconds between looks while all is well
SUSPICION = 0.012  # seconds without a beat from which on both threads are looked at
WAKES = 2  # of who waits for the GIL: it asks for it after the first, in vain if there is another
SURE = 0.008  # seconds of work without letting go of a GIL asked for; the kernel counts in ticks
STARVED = 0.25  # seconds: longer than a busy machine keeps a thread from its processors
REPEAT = 0.1  # seconds between dumps of one and the same stall
TGKILL = {"x86_64": 234, "aarch64": 131}  # system call numbers; the os module has no tgkill
_HEADER = "(most recent call first):"
_FRAME = re.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)')


def frames_of(dump: str) -> list[tuple[str, int, str]]:
    """Return (file, line, function), outermost first, from what faulthandler wrote.

    Of several dumps the last one; of one whose beginning was read with the dump before, nothing.
    """
    _, header, stack = dump.rpartition(_HEADER)
    found = []
    for line in stack.splitlines() if header else ():
        match = _FRAME.match(line)
        if match:
            file, number, function = match.groups()
            # faulthandler writes ASCII: anything else comes as \xNN, \uNNNN or \UNNNNNNNN.
            name = file.encode("ascii", "replace").decode("unicode_escape")
            found.append((name, int(number) if number.isdigit() else 0, function))
    return found[::-1]


def named(
    frames: list[tuple[str, int, str]], package: str, library: list[str]
) -> dict[str, object] | None:
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


class Account(NamedTuple):
    """One thread at one moment."""

    wants: bool
    """It runs, or could and has no processor."""
    ran: float
    """Seconds since it began."""
    turns: int
    """How often it was given a processor."""


class Look(NamedTuple):
    """Both threads at one moment after a beat."""

    beat: float
    loop: Account | None
    watchdog: Account | None


class Suspicion:
    """That the loop's thread keeps the GIL: grows from look to look until the next beat."""

    def __init__(self) -> None:
        self.first = self.asked = Look(0.0, None, None)

    def grows(self, look: Look, silent: float) -> bool:
        """Take one more look; return whether it is certain now, and begin to doubt again."""
        if look.beat != self.first.beat:
            self.first, self.asked = look, Look(0.0, None, None)
        first, (_, loop, watchdog) = self.first, look
        if loop is None or watchdog is None or first.watchdog is None:
            return silent > STARVED
        if watchdog.wants or watchdog.turns - first.watchdog.turns < WAKES:
            return False  # it waits for a processor, or for something else than the GIL
        if self.asked.loop is None:
            self.asked = look
        elif loop.ran - self.asked.loop.ran >= SURE or (silent > STARVED and not loop.wants):
            self.asked = look
            return True
        return False


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


def watch(arguments: list[str]) -> None:
    """Look until the program is gone."""
    pid, number, beat, dumps, reports = map(int, arguments[:5])
    patience = float(arguments[5])
    token, package, *library = arguments[6:]
    memory = mmap.mmap(beat, BEAT.size, prot=mmap.PROT_READ)
    os.set_blocking(dumps, False)
    audience = Audience(token)

    reporter = Line(reports)

    def report(values: dict[str, object]) -> bool:
        return reporter.send(json.dumps(values).encode() + b"\n")

    if not report({"port": audience.port}):
        return
    tgkill = signaller()  # not when it is needed: that is when milliseconds count
    asked = reported = 0.0
    suspicion = Suspicion()
    while os.getppid() == pid:
        now = time.perf_counter()
        last, thread, watchdog = BEAT.unpack_from(memory)
        silent = now - last
        if last == 0 or silent < SUSPICION:
            audience.welcome(PERIOD)
            continue
        look = Look(last, account(pid, thread), account(pid, watchdog))
        if not suspicion.grows(look, silent) or silent < patience or now - asked < REPEAT:
            audience.welcome(PERIOD / 2)
            continue
        if BEAT.unpack_from(memory)[0] != last:
            continue  # this process had no processor meanwhile
        asked = now
        if gone(dumps) or tgkill(pid, thread, number) != 0:
            return  # it has become another program, or has no such thread any more
        dump = answer(dumps)
        frames = frames_of(dump)[-60:]
        if not frames:
            continue
        line = named(frames, package, library)
        if line is not None:
            audience.tell(json.dumps({"silent": silent, **line}))
        # Nobody reads them before the call is over: of a long one rarely, or the pipe is full by then.
        if now - reported >= max(REPEAT, silent / 16):
            reported = now
            if not report({"at": now, "silent": silent, "frames": frames}):
                return


def account(pid: int, thread: int) -> Account | None:
    """Return what the kernel says of a thread: proc(5), stat and schedstat; None if it does not."""
    folder = f"/proc/{pid}/task/{thread}"
    try:
        with open(f"{folder}/stat", "rb") as file:  # noqa: PTH123
            state = file.read().rpartition(b")")[2].split()[0]
        with open(f"{folder}/schedstat", "rb") as file:  # noqa: PTH123
            ran, _, turns = file.read().split()
    except (OSError, IndexError, ValueError):
        return None
    return Account(state == b"R", int(ran) * 1e-9, int(turns))


def gone(dumps: int) -> bool:
    """Whether nobody can write to DUMPS any more: the program has become another one by exec."""
    door = select.poll()
    door.register(dumps, 0)
    return any(happened & select.POLLHUP for _, happened in door.poll(0))


def signaller() -> Callable[[int, int, int], int]:
    """Return what sends a signal to one thread of another process, and gives 0 if it did."""
    import ctypes  # noqa: PLC0415 - takes longer than all the rest

    libc = ctypes.CDLL(None, use_errno=True)
    return partial(libc.syscall, TGKILL[os.uname().machine])


def answer(dumps: int, wait: float = 0.05) -> str:
    """Read what faulthandler wrote: until it pauses."""
    text = b""
    while True:
        ready, _, _ = select.select([dumps], [], [], wait if not text else 0.002)
        if not ready:
            return text.decode("ascii", "replace")
        piece = os.read(dumps, 65536)
        if not piece:
            return text.decode("ascii", "replace")
        text += piece


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted notebook goes on being watched
    with contextlib.suppress(BrokenPipeError, ConnectionError):
        watch(sys.argv[1:])
