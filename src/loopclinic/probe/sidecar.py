"""The process beside the program: notices that a call keeps the GIL, and reads which one it is.

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
import signal
import struct
import time
from typing import NamedTuple

from loopclinic.probe.audience import Audience, Line
from loopclinic.probe.memory import GoneError, Memory, UnreadableError
from loopclinic.probe.outside import MemoryReader, Place, Reader, of_json
from loopclinic.probe.remote_reader import RemoteReader
from loopclinic.probe.suspicion import Holder, Look, Suspicion, account

__all__ = ["BEAT", "INTERVAL", "Beat", "Seen", "Watch", "main", "named", "reader_of", "watch"]

INTERVAL = 0.01  # seconds between beats at most
REPEAT = 0.1  # seconds between two readings of one and the same stall
BEAT = struct.Struct("dqq")


class Beat(NamedTuple):
    """What the watchdog says each time that it could have the GIL."""

    at: float
    """When, on the clock that all processes share; 0 if there is nothing to watch."""
    loop: int
    watchdog: int
    """Both threads, as the kernel knows them."""


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

    def __init__(self, pid: int, reader: Reader, interval: float = INTERVAL) -> None:
        self._pid, self._reader = pid, reader
        self._suspect_after = 1.1 * interval
        self._patience = 2 * interval
        self._suspicion = Suspicion()
        self._told = 0.0
        self.pause = 0.6 * interval
        """Seconds until the next look."""

    def look(self, shared: mmap.mmap, offset: int = 0) -> Seen | None:
        """Return what is seen at this moment, None where all is well or nothing is certain.

        Raises:
            GoneError: there is no such program any more.
        """
        now, beat = time.perf_counter(), Beat(*BEAT.unpack_from(shared, offset))
        silent = now - beat.at
        calm = beat.at == 0 or silent < self._suspect_after
        self.pause = self._patience * (0.3 if calm else 0.1)
        if calm:
            return None
        look = Look(beat.at, silent, account(self._pid, beat.watchdog))
        sure = self._suspicion.grows(look, lambda: self._holder(beat))
        if not sure or silent < self._patience or now - self._told < REPEAT:
            return None
        found = self._reader.stack()
        if found is None or not found[1] or BEAT.unpack_from(shared, offset)[0] != beat.at:
            return None
        self._told = now
        thread, frames = found
        return Seen(now, silent, thread if thread != beat.loop else 0, frames)

    def _holder(self, beat: Beat) -> Holder | None:
        found = self._reader.position()
        if found is None or found[0] == beat.watchdog:
            return None
        return Holder(found, account(self._pid, found[0]))


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
    audience = Audience(token)
    reporter = Line(reports)

    def report(values: dict[str, object]) -> None:
        if not reporter.send(json.dumps(values).encode() + b"\n"):
            raise GoneError

    memory = Memory(mem)
    while os.getppid() == pid and not BEAT.unpack_from(shared)[0]:
        memory.ensure()
        audience.welcome(INTERVAL)
    try:
        program = Watch(pid, reader_of(pid, memory, known))
    except (OSError, RuntimeError) as error:
        report(
            {"refused": f"the kernel does not let the process beside it read its memory: {error}"}
        )
        return
    report({"port": audience.port})
    reported = 0.0
    while os.getppid() == pid:
        seen = program.look(shared)
        if seen is not None:
            line = named(seen.frames, package, library)
            if line is not None:
                told = {"silent": seen.silent, "other": bool(seen.thread), **line}
                audience.tell(json.dumps(told))
            # Nobody reads them before the call is over: of a long one rarely, or the pipe is full by then.
            if seen.at - reported >= max(REPEAT, seen.silent / 16):
                reported = seen.at
                report(seen._asdict())
        audience.welcome(program.pause)


def main(arguments: list[str]) -> None:
    """Watch, and end as quietly as the program does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted notebook goes on being watched
    with contextlib.suppress(GoneError):
        watch(arguments)
