"""Stacks that can be had while the GIL is held: the program's side of the process beside it."""

import atexit
import contextlib
import json
import mmap
import os
import platform
import secrets
import subprocess
import sys
import threading
from typing import Any, NamedTuple

from loopclinic.probe import launch
from loopclinic.probe.layout import known, lays_out, own_memory
from loopclinic.probe.sidecar import BEAT, Beat
from loopclinic.probe.stack import LIBRARY, PACKAGE

__all__ = ["Heard", "Witness", "native_id", "thread_name"]

_MACHINES = ("x86_64", "aarch64")
_PATIENCE = 0.02  # seconds without the watchdog's beat: two of its looks


class Heard(NamedTuple):
    """A stack that was read while its thread kept the GIL."""

    at: float
    silent: float
    """For how long nobody else had had it."""
    thread: int
    """Its thread as Python knows it, 0 for the loop's."""
    frames: list[tuple[str, int, str]]
    """Outermost first."""


class Witness:
    """Watches over one loop's watchdog from a process of its own; Linux, CPython 3.11 to 3.13.

    A call that keeps the GIL stops the watchdog too. The process beside the program notices that the
    watchdog's beat has stopped, and reads the stack of whoever keeps it in the program's memory:
    no signal, no handler, nothing that the program could notice. To be made and closed on a thread
    that lives as long as it.

    The process is given a descriptor of the program's memory, to read only, which ends with it. That
    takes no right that others could use, too: the kernel asks who may when a memory is opened, and
    a program may open its own. So neither Yama's ptrace_scope nor a filter against ptrace stands in
    the way, and who could not read the program before can't now. What the process knows it tells
    to those with its token only: file, line and source line.

    Raises:
        OSError: the process can't be started, or the program's memory not be opened.
        RuntimeError: this interpreter's stacks do not read as they should.
    """

    def __init__(self) -> None:
        import fcntl  # noqa: PLC0415 - not on Windows, where there is no witness

        self.refused: str | None = None
        """Why the process could not do its work, once it has said so."""
        self._token = secrets.token_urlsafe(16)
        self._port = 0
        self._rest = b""
        with own_memory() as mem:
            self._known = json.dumps(known(mem))
            beat = os.memfd_create("loopclinic-beat")
            os.ftruncate(beat, mmap.PAGESIZE)
            self._memory = mmap.mmap(beat, mmap.PAGESIZE)
            self._reports, reports = os.pipe()
            os.set_blocking(self._reports, False)
            with contextlib.suppress(OSError):  # this user has no more memory for pipes
                fcntl.fcntl(reports, fcntl.F_SETPIPE_SZ, 1 << 20)
            atexit.register(self.close)
            try:
                self._process: subprocess.Popen[bytes] | None = self._start(beat, mem, reports)
            except OSError:
                self._process = None
                self.close()
                raise
            finally:
                os.close(beat)
                os.close(reports)

    def _start(self, *passed: int) -> subprocess.Popen[bytes]:
        options = ["-I", "-S"]
        # It is told by option what the program may have been told by the environment.
        if sys.dont_write_bytecode:
            options.append("-B")
        if sys.pycache_prefix:
            options += ["-X", f"pycache_prefix={sys.pycache_prefix}"]
        numbers = map(str, (os.getpid(), *passed, _PATIENCE))
        return subprocess.Popen(
            [
                *(sys.executable, *options, launch.__file__),
                *(*numbers, self._known, self._token, PACKAGE, *LIBRARY),
            ],
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @staticmethod
    def available() -> bool:
        """Whether this machine and this interpreter are such as a witness knows."""
        return sys.platform == "linux" and platform.machine() in _MACHINES and lays_out()

    @staticmethod
    def refusal() -> str | None:
        """Return why there can be no witness here, None if there can: tried, not guessed."""
        if not Witness.available():
            return "it takes Linux on x86-64 or arm64, and CPython 3.11 to 3.13"
        try:
            with own_memory() as mem:
                known(mem)
        except (OSError, RuntimeError) as error:
            return str(error)
        return None

    @property
    def url(self) -> str | None:
        """Where a browser can hear of a held GIL (server-sent events), once the process is up."""
        return f"http://127.0.0.1:{self._port}/{self._token}" if self._port else None

    def beat(self, beat: Beat) -> None:
        """Say that the GIL was to be had."""
        BEAT.pack_into(self._memory, 0, *beat)

    def collect(self) -> list[Heard]:
        """Return what was seen since the last call."""
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
            elif "refused" in values:
                self.refused = values["refused"]
            else:
                frames = [tuple(frame) for frame in values["frames"]]
                found.append(Heard(values["at"], values["silent"], values["thread"], frames))
        return found

    def close(self) -> None:
        """End the process."""
        atexit.unregister(self.close)
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
        if not self._memory.closed:
            os.close(self._reports)
            self._memory.close()


def native_id(ident: int) -> int:
    """Return the kernel's id of the thread with this `ident`, 0 if it is not known."""
    for thread in threading.enumerate():
        if thread.ident == ident:
            native = thread.native_id or 0
            # The only thread of a forked child goes on under the number that it had in the parent.
            stale = sys.platform == "linux" and not os.access(f"/proc/self/task/{native}", os.F_OK)
            return os.getpid() if stale else native
    return 0


def thread_name(ident: int) -> str:
    """Return the name of the thread with this `ident`, nothing where it has ended."""
    return next((one.name for one in threading.enumerate() if one.ident == ident), "")
