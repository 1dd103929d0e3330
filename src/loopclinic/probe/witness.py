"""The program's side of a witness: starts that process, sends it beats, receives which call keeps the GIL."""

import atexit
import contextlib
import json
import mmap
import os
import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Protocol

from loopclinic.probe import launch, layout
from loopclinic.probe.sidecar import BEAT, INTERVAL, Beat, Seen
from loopclinic.probe.stack import LIBRARY, PACKAGE

_YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
_PR_SET_PTRACER = 0x59616D61  # prctl(2)
_tracing = threading.Lock()
_tracer: "subprocess.Popen[bytes] | None" = None


class GilWitness(Protocol):
    """What reads from outside which call keeps the GIL; one for each loop, used on its watchdog's thread."""

    interval: float
    """Seconds between two beats at most."""

    @property
    def refused(self) -> str | None:
        """Why nothing can be read, once that is known."""

    @property
    def ready(self) -> bool:
        """Whether it is at work."""

    @property
    def url(self) -> str | None:
        """Where a browser can hear of a held GIL (server-sent events), None where it can't."""

    def beat(self, beat: Beat) -> None:
        """Signal that this thread could have the GIL."""

    def collect(self) -> list[Seen]:
        """Return what was seen since the last call."""

    def close(self) -> None:
        """Stop the witness."""


class Witness:
    """Watches over one loop's watchdog from a small process of its own (a `GilWitness`); Linux.

    A call that keeps the GIL stops the watchdog too. The process beside the program notices that the
    watchdog's beat has stopped, and reads the stack of the thread that keeps the GIL in the program's
    memory: no signal, no handler, nothing that the program could notice. To be made and closed on a
    thread that lives as long as it.

    On CPython 3.11 to 3.14 the process is given a descriptor of the program's memory, to read only,
    which ends with it. That takes no right that others could use, too: the kernel asks who may when a
    memory is opened, and a program may open its own. So neither Yama's ptrace_scope nor a filter
    against ptrace stands in the way. From 3.15 on CPython's own reader opens it by the number of the
    process; where Yama allows that to parents only, the program names this one process by prctl(2).
    What the process knows it tells to those with its token only: file, line and source line.

    Raises:
        OSError: the process can't be started, or the program's memory not be opened.
        RuntimeError: this interpreter's stacks do not read as they should.
    """

    interval = INTERVAL

    def __init__(self) -> None:
        import fcntl  # not on Windows, where there is no witness

        self.refused: str | None = None
        self._token = secrets.token_urlsafe(16)
        self._port = 0
        self._rest = b""
        with layout.own_memory() as mem:
            self._known = layout.described(mem)
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
        if self._known == "null":
            try:
                _allow_tracing_by(self._process)
            except RuntimeError:
                self.close()
                raise

    def _start(self, *passed: int) -> subprocess.Popen[bytes]:
        options = ["-I", "-S"]
        # It is told by option what the program may have been told by the environment.
        if sys.dont_write_bytecode:
            options.append("-B")
        if sys.pycache_prefix:
            options += ["-X", f"pycache_prefix={sys.pycache_prefix}"]
        numbers = map(str, (os.getpid(), *passed))
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
    def unsuitable() -> str | None:
        """Return why no witness knows this machine or this interpreter, None if one does; not tried."""
        if sys.platform != "linux":
            return "another process's memory is read on Linux only"
        return layout.refusal()

    @staticmethod
    def refusal() -> str | None:
        """Return why there can be no witness here, None if there can: tried, not guessed."""
        reason = Witness.unsuitable()
        if reason is not None:
            return reason
        try:
            witness = Witness()
        except (OSError, RuntimeError) as error:
            return str(error)
        try:
            return witness.answer()
        finally:
            witness.close()

    def answer(self, patience: float = 10.0) -> str | None:
        """Wait until the process has read this program once; return why it could not, None if it could."""
        native = threading.get_native_id()
        deadline = time.monotonic() + patience
        while not self._port and self.refused is None:
            if time.monotonic() > deadline:
                return f"the process beside it did not answer within {patience:.0f} s"
            self.beat(Beat(time.perf_counter(), native, native))
            # loopclinic: ignore[blocking-sleep] on the caller's thread, which asked to wait
            time.sleep(self.interval)
            self.collect()
        return self.refused

    @property
    def ready(self) -> bool:
        """Whether the process has read this program once."""
        return bool(self._port)

    @property
    def url(self) -> str | None:
        """Where a browser can hear of a held GIL, once the process is up."""
        return f"http://127.0.0.1:{self._port}/{self._token}" if self._port else None

    def beat(self, beat: Beat) -> None:
        """Signal that this thread could have the GIL."""
        BEAT.pack_into(self._memory, 0, *beat)

    def collect(self) -> list[Seen]:
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
                found.append(seen_of(values))
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


def seen_of(values: dict[str, Any]) -> Seen:
    """Return what `Seen._asdict()` became as JSON."""
    return Seen(**{**values, "frames": [tuple(frame) for frame in values["frames"]]})


def _allow_tracing_by(process: "subprocess.Popen[bytes]") -> None:
    """Let a child read this process where Yama's ptrace_scope allows it to parents only.

    Raises:
        RuntimeError: another witness does, and the kernel knows only one.
    """
    global _tracer  # noqa: PLW0603 - of the whole process, as the kernel's rule is
    try:
        scope = _YAMA.read_text("ascii").strip()
    except OSError:
        return
    if scope != "1":
        return
    with _tracing:
        if _tracer is not None and _tracer.poll() is None:
            raise RuntimeError(
                "ptrace_scope lets one process read this one, and another loop has it"
            )
        import ctypes  # nothing else here needs it

        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(process.pid), 0, 0, 0)
        _tracer = process


def native_id(ident: int) -> int:
    """Return the kernel's id of the thread with this `ident`, 0 if it is not known."""
    for thread in threading.enumerate():
        if thread.ident == ident:
            return _native_id(thread)
    return 0


def thread_name(native: int) -> str:
    """Return the name of the thread with this number in the kernel, nothing where it has ended."""
    return next((one.name for one in threading.enumerate() if _native_id(one) == native), "")


def _native_id(thread: threading.Thread) -> int:
    native = thread.native_id or 0
    # The only thread of a forked child goes on under the number that it had in the parent.
    stale = sys.platform == "linux" and not os.access(f"/proc/self/task/{native}", os.F_OK)
    return os.getpid() if stale else native
