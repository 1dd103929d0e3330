"""Stacks that can be had while the GIL is held: the program's side of the process beside it."""

import atexit
import contextlib
import faulthandler
import json
import mmap
import os
import platform
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from loopclinic.probe import sidecar
from loopclinic.probe.stack import LIBRARY, PACKAGE

__all__ = ["Witness"]

_PATIENCE = 0.03  # seconds without the watchdog's beat: three of its looks
_taken: set[int] = set()  # signals in use by the witnesses of this process


class Witness:
    """Watches over one loop's watchdog from a process of its own; Linux on x86-64 and arm64.

    A call that keeps the GIL stops the watchdog too. The process beside the program notices that the
    watchdog's beat has stopped, signals the loop's thread, and faulthandler writes that thread's
    stack from within the signal handler, which needs no GIL.

    Uses one real-time signal, the highest that nothing in the process handles, blocks or ignores; if
    the program sets a handler of its own for it later, that one is left in place.

    Raises:
        OSError: the process can't be started.
        RuntimeError: every real-time signal has a handler.
    """

    def __init__(self) -> None:
        import fcntl  # noqa: PLC0415 - not on Windows, where there is no witness

        self.signal = _free_signal()
        self._token = secrets.token_urlsafe(16)
        self._port = 0
        self._rest = b""
        beat = os.memfd_create("loopclinic-beat")
        os.ftruncate(beat, mmap.PAGESIZE)
        self._memory = mmap.mmap(beat, mmap.PAGESIZE)
        dumps, self._dumps = os.pipe()
        self._reports, reports = os.pipe()
        os.set_blocking(self._reports, False)
        with contextlib.suppress(OSError):  # this user has no more memory for pipes
            fcntl.fcntl(reports, fcntl.F_SETPIPE_SZ, 1 << 20)
        os.set_blocking(self._dumps, False)  # a full pipe must not stop the program in its handler
        # Before ours there shall be one that does nothing, and ours shall chain to it: faulthandler
        # puts errno back only then, and a call that the signal came into fails as it would have.
        _dispose(self.signal, signal.SIG_IGN)
        faulthandler.register(self.signal, file=self._dumps, all_threads=False, chain=True)
        _taken.add(self.signal)
        atexit.register(self.close)
        passed = (beat, dumps, reports)
        program = [sys.executable, "-I", "-S", str(Path(sidecar.__file__))]
        numbers = [os.getpid(), self.signal, *passed, _PATIENCE]
        try:
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                [*program, *map(str, numbers), self._token, PACKAGE, *LIBRARY],
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            self._process = None
            self.close()
            raise
        finally:
            for descriptor in passed:
                os.close(descriptor)

    @staticmethod
    def available() -> bool:
        """Whether this machine has what a witness needs."""
        return sys.platform == "linux" and platform.machine() in sidecar.TGKILL

    @property
    def url(self) -> str | None:
        """Where a browser can hear of a held GIL (server-sent events), once the process is up."""
        return f"http://127.0.0.1:{self._port}/{self._token}" if self._port else None

    @property
    def overruled(self) -> bool:
        """Whether the program has set a handler of its own for the witness's signal."""
        return signal.getsignal(self.signal) is not signal.SIG_DFL

    def beat(self, now: float, loop: int, watchdog: int) -> None:
        """Say that the GIL was to be had, and which native threads are the two (loop 0: none)."""
        sidecar.BEAT.pack_into(self._memory, 0, now if loop else 0.0, loop, watchdog)

    def collect(self) -> list[tuple[float, list[tuple[str, int, str]]]]:
        """Return what was seen since the last call: (time, frames outermost first)."""
        try:
            # loopclinic: ignore[blocking-file-io] this pipe is set not to block
            text = self._rest + os.read(self._reports, 1 << 20)
        except (BlockingIOError, ValueError):
            return []
        *lines, self._rest = text.split(b"\n")
        found = []
        for line in lines:
            values: dict[str, Any] = json.loads(line)
            if "port" in values:
                self._port = values["port"]
            else:
                found.append((values["at"], [tuple(frame) for frame in values["frames"]]))
        return found

    def close(self) -> None:
        """End the process, then give the signal back: unhandled it would end the program."""
        atexit.unregister(self.close)
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
        if not self._memory.closed:
            # Unregistering puts back what was there before ours: not over a handler set since. That
            # signal is lost to us for good, for faulthandler goes on believing that it has it.
            if not self.overruled:
                faulthandler.unregister(self.signal)
                _dispose(self.signal, signal.SIG_DFL)
                _taken.discard(self.signal)
            os.close(self._dumps)
            os.close(self._reports)
            self._memory.close()


def _dispose(number: int, handler: signal.Handlers) -> None:
    """Set what a signal does from any thread; Python lets only the main one."""
    import ctypes  # noqa: PLC0415 - a program without a witness needs none

    ctypes.CDLL(None).signal(number, ctypes.c_void_p(int(handler)))


def _free_signal() -> int:
    used = _used()
    for number in range(signal.SIGRTMAX, signal.SIGRTMIN - 1, -1):
        if number in _taken or used >> (number - 1) & 1:
            continue
        if signal.getsignal(number) is signal.SIG_DFL:
            return int(number)
    raise RuntimeError(
        "Every real-time signal has a handler: free one, or use Probe(witness=False)."
    )


def _used() -> int:
    """Return the signals that are handled, ignored or blocked, by C code too: proc(5), status."""
    used = 0
    with contextlib.suppress(OSError), Path("/proc/self/status").open(encoding="utf-8") as status:
        for line in status:
            name, _, mask = line.partition(":")
            if name in ("SigCgt", "SigIgn", "SigBlk"):
                used |= int(mask, 16)
    return used


def native_id(ident: int) -> int:
    """Return the kernel's id of the thread with this `ident`, 0 if it is not known."""
    for thread in threading.enumerate():
        if thread.ident == ident:
            return thread.native_id or 0
    return 0
