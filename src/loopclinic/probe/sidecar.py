"""The process beside the program: notices that nothing in it can run, and reads where it stands.

Its arguments are PID BEAT MEMORY REPORTS PATIENCE KNOWN TOKEN LIBRARY...

BEAT is a descriptor of shared memory in which the watchdog leaves the time and both threads every
few milliseconds. When that time is older than PATIENCE seconds, and one call of a thread is found to
keep the GIL, that thread's stack is read through MEMORY, a descriptor of the program's
memory, by what the program has said of itself in KNOWN (JSON). Nothing happens in the program.
What was read goes to REPORTS, a JSON line each, for the watchdog to read as soon as it can, and
meanwhile to whoever listens by HTTP (server-sent events), with TOKEN, on the port that the first
line of REPORTS names. LIBRARY are folders whose code is not the user's own.
"""

import contextlib
import json
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from loopclinic.probe.audience import Audience, Line
from loopclinic.probe.memory import GoneError, Memory, UnreadableError
from loopclinic.probe.outside import (
    Known,
    Thread,
    chain,
    holder,
    of_json,
    stack,
)
from loopclinic.probe.suspicion import Holder, Look, Suspicion, account

__all__ = ["BEAT", "Beat", "held", "main", "named", "watch"]

PERIOD = 0.006  # seconds between looks while all is well
SUSPICION = 0.011  # seconds without a beat from which on both threads are looked at
REPEAT = 0.1  # seconds between reports of one and the same stall
BEAT = struct.Struct("dqqQ")
Read = TypeVar("Read")


class Beat(NamedTuple):
    """What the watchdog says each time that it could have the GIL."""

    at: float
    """When, on the clock that all processes share; 0 if there is nothing to watch."""
    loop: int
    watchdog: int
    """Both threads, as the kernel knows them."""
    ident: int
    """The loop's, as Python knows it."""


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


def watch(arguments: list[str]) -> None:
    """Look until the program is gone.

    Raises:
        GoneError: it is.
    """
    pid, beat, mem, reports = map(int, arguments[:4])
    patience, known = float(arguments[4]), of_json(arguments[5])
    token, package, *library = arguments[6:]
    shared = mmap.mmap(beat, BEAT.size, prot=mmap.PROT_READ)
    memory = Memory(mem)
    audience = Audience(token)
    reporter = Line(reports)

    def report(values: dict[str, object]) -> None:
        if not reporter.send(json.dumps(values).encode() + b"\n"):
            raise GoneError

    try:
        memory.word(known.state)
    except UnreadableError:
        report({"refused": "the kernel does not let the process beside it read its memory"})
        return
    report({"port": audience.port})
    told = reported = 0.0
    suspicion = Suspicion()

    def suspect() -> Holder | None:
        found = held(memory, known, chain)
        if found is None or found[0].native == last.watchdog:
            return None
        return Holder(found, account(pid, found[0].native))

    while os.getppid() == pid:
        now = time.perf_counter()
        last = Beat(*BEAT.unpack_from(shared))
        silent = now - last.at
        if last.at == 0 or silent < SUSPICION:
            audience.welcome(PERIOD)
            continue
        look = Look(last.at, silent, account(pid, last.watchdog))
        sure = suspicion.grows(look, suspect)
        sure = sure and silent >= patience and now - told >= REPEAT
        found = held(memory, known, stack) if sure else None
        if not found or not found[1] or BEAT.unpack_from(shared)[0] != last.at:
            audience.welcome(PERIOD / 3)
            continue
        told = now
        thread, frames = found
        other = thread.ident if thread.ident != last.ident else 0
        line = named(frames, package, library)
        if line is not None:
            audience.tell(json.dumps({"silent": silent, "other": bool(other), **line}))
        # Nobody reads them before the call is over: of a long one rarely, or the pipe is full by then.
        if now - reported >= max(REPEAT, silent / 16):
            reported = now
            report({"at": now, "silent": silent, "thread": other, "frames": frames})


def held(
    memory: Memory, known: Known, read: Callable[[Memory, Known, int], list[Read]]
) -> tuple[Thread, list[Read]] | None:
    """Return who holds the GIL, and what is read of that thread; None if it does not hold it all the while.

    Raises:
        GoneError: there is no such program any more.
    """
    with contextlib.suppress(UnreadableError):
        thread = holder(memory, known)
        if thread is not None:
            found = read(memory, known, thread.state)
            if holder(memory, known) == thread:
                return thread, found
    return None


def main(arguments: list[str]) -> None:
    """Watch, and end as quietly as the program does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted notebook goes on being watched
    with contextlib.suppress(GoneError):
        watch(arguments)
