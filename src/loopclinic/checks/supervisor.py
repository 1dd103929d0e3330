"""Runs one trial in a child process: starts it, listens, holds it to its limits, ends all of it."""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from loopclinic.checks.limits import MARK, Limits, Tree
from loopclinic.checks.shortage import Shortage

__all__ = ["Outcome", "Supervisor"]

_PERIOD = 0.05
_SILENCE = 1.0
_DUMP = re.compile(r'\s+File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)')
_THREAD = re.compile(r"(?:Current thread|Thread) 0x(?P<ident>[0-9a-f]+)")


@dataclass(slots=True)
class Outcome:
    """What was heard of a trial, and how it ended.

    `cause` is `ended` (the child said how, in `end`), `died`, or the limit it was stopped for:
    `deadline`, `memory`, `output`, `processes`, `stopped`.
    """

    cause: str = "died"
    end: dict[str, Any] = field(default_factory=dict)
    ready: bool = False
    step: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    stuck: dict[str, Any] | None = None
    waits: list[dict[str, Any]] = field(default_factory=list)
    stack: list[tuple[str, int]] = field(default_factory=list)
    """File and line of the main thread's frames when it was stopped, innermost first."""
    exit_status: int | None = None
    output: str = ""
    used: float = 0.0
    """Bytes or count that passed the limit named by `cause`."""
    shortage: float = 0.0
    """Share of the trial's time, 0 to 1, for which other programs had its processor."""
    wanted: float = 0.0
    """Share of it for which the trial's main thread ran, or waited to."""
    seconds: float = 0.0


class Supervisor:
    """One trial: `start()`, then `send()` the spec, then `wait()`; `close()` ends all of it.

    Works in any thread, needs no event loop, and is not disturbed by a running one.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.folder = Path(tempfile.mkdtemp(prefix="loopclinic-")).resolve()
        self._mark = secrets.token_hex(8)
        self._news = threading.Event()
        self._outcome = Outcome()
        self._output = bytearray()
        self._output_bytes = 0
        self._heard = time.monotonic()
        self._main = 0
        self._noise: list[str] = []
        self._on_step: Callable[[str], None] | None = None
        self._readers: list[threading.Thread] = []
        self._started = self._began = time.monotonic()

    def start(self, package: str) -> None:
        """Start the child; it imports the lesson's package while the services come up.

        Raises:
            OSError: this machine can't start a process.
        """
        reading, writing = os.pipe()
        env = {k: v for k, v in os.environ.items() if k not in _DROPPED}
        env |= {MARK: self._mark, **_SET}
        options: dict[str, Any] = {}
        number = writing
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - only there

            number = msvcrt.get_osfhandle(writing)
            os.set_handle_inheritable(number, True)
            options["close_fds"] = False
        else:
            options["pass_fds"] = (writing,)
            options["start_new_session"] = True
        work = self.folder / "work"
        work.mkdir()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "loopclinic.checks.child", str(number), package],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=work,
                env=env,
                bufsize=0,
                **options,
            )
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._tree = Tree(self._process.pid, self._mark)
        self._shortage = Shortage(self._process.pid)
        assert self._process.stdout is not None
        for target, stream in (
            (self._hear, os.fdopen(reading, "rb")),
            (self._read_output, self._process.stdout),
        ):
            thread = threading.Thread(target=target, args=(stream,), daemon=True)
            thread.start()
            self._readers.append(thread)

    def send(self, spec: Mapping[str, Any]) -> None:
        """Send the spec, with the limits that the child keeps itself."""
        line = json.dumps(
            {
                **spec,
                "mark": self._mark,
                "seconds": self.limits.seconds,
                "open_files": self.limits.open_files,
                "file_size": self.limits.file_size,
                # A last resort for a child whose supervisor is gone and which holds the GIL.
                "cpu_seconds": int(self.limits.seconds * 8) + 10,
            }
        )
        with contextlib.suppress(OSError):  # a child that is gone already is noticed by wait()
            assert self._process.stdin is not None
            self._process.stdin.write(line.encode() + b"\n")

    def wait(
        self,
        *,
        on_step: Callable[[str], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Outcome:
        """Wait for the end of the trial, or for a limit, and return what was heard."""
        outcome = self._outcome
        shown = ""
        while True:
            due = time.monotonic() + _PERIOD
            if not self._news.wait(_PERIOD):
                self._shortage.late(time.monotonic() - due)
            self._news.clear()
            self._shortage.look(self._tree.processes)
            if on_step is not None and outcome.step != shown:
                shown = outcome.step
                on_step(shown)
            if outcome.end:
                outcome.cause = "ended"
                break
            if self._tree.root_ended():
                outcome.cause = "died"
                break
            broken = self._broken_limit(stop)
            if broken:
                outcome.cause, outcome.used = broken
                self._ask_where()
                break
        self._finish()
        return outcome

    def _broken_limit(self, stop: Callable[[], bool] | None) -> tuple[str, float] | None:
        if stop is not None and stop():
            return "stopped", 0
        seconds = time.monotonic() - self._began
        if seconds > (self.limits.seconds if self._outcome.ready else self.limits.start):
            return "deadline", seconds
        if self._output_bytes > self.limits.output:
            return "output", self._output_bytes
        memory, processes = self._tree.usage()
        if memory > self.limits.memory:
            return "memory", memory
        if processes > self.limits.processes:
            return "processes", processes
        return None

    def _ask_where(self) -> None:
        if not hasattr(signal, "SIGUSR1") or not self._outcome.ready:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGUSR1)
        ends = time.monotonic() + 0.2
        while not self._stack_of_main() and time.monotonic() < ends:
            time.sleep(0.005)

    def _stack_of_main(self) -> list[tuple[str, int]]:
        inside, found = False, []
        for line in list(self._noise):
            head = _THREAD.match(line)
            if head:
                inside = int(head["ident"], 16) == self._main
            elif inside and (frame := _DUMP.match(line)):
                found.append((frame["file"], int(frame["line"])))
        return found

    def _finish(self) -> None:
        outcome = self._outcome
        outcome.shortage, outcome.wanted = self._shortage.share, self._shortage.wanted
        if outcome.cause in ("ended", "died"):
            # A clean end leaves within moments; what is left of a dead child's words is read here.
            ends = time.monotonic() + 0.5
            while not self._tree.root_ended() and time.monotonic() < ends:
                time.sleep(0.002)
            for reader in self._readers:
                reader.join(0.3)
        if outcome.end:
            outcome.cause = "ended"
        self._tree.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            outcome.exit_status = self._process.wait(2)
        for reader in self._readers:
            reader.join(0.5)
        outcome.stack = self._stack_of_main()
        outcome.output = bytes(self._output).decode("utf-8", "replace")
        outcome.seconds = time.monotonic() - self._started
        silent = time.monotonic() - self._heard
        if outcome.stuck is not None:
            outcome.stuck["seconds"] += silent
        elif outcome.cause not in ("ended", "died") and silent > _SILENCE:
            # A C call that holds the GIL stops the child's lookout too.
            outcome.stuck = {"seconds": silent, "place": None}

    def close(self) -> None:
        """End what still runs and remove the trial's folder; may be called twice."""
        if hasattr(self, "_tree"):
            if self._process.returncode is None:
                self._tree.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2)
            if self._process.stdin is not None:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()
        _remove(self.folder)

    def _hear(self, stream: BinaryIO) -> None:
        mark = self._mark.encode()
        with stream:
            for line in stream:
                if line.startswith(mark):
                    try:
                        self._note(json.loads(line[len(mark) :]))
                    except (ValueError, KeyError, TypeError):
                        continue
                elif len(self._noise) < 2000:  # noqa: PLR2004 - a few stacks' worth
                    self._noise.append(line.decode("utf-8", "replace").rstrip("\n"))
        self._news.set()

    def _note(self, message: dict[str, Any]) -> None:
        outcome = self._outcome
        match message["kind"]:
            case "hello":
                self._main = message["main"]
            case "ready":
                self._began = time.monotonic()
                self._shortage.begin(self._tree.processes)
                outcome.ready = True
            case "step":
                outcome.step = message["name"]
                self._news.set()
            case "fact":
                outcome.facts[message["name"]] = message["value"]
            case "alive":
                outcome.stuck = message["stuck"]
                self._heard = time.monotonic()
            case "waits":
                outcome.waits = message["places"]
            case "end":
                outcome.end = message
                self._news.set()

    def _read_output(self, stream: BinaryIO) -> None:
        with contextlib.suppress(OSError, ValueError), stream:
            while data := stream.read(1 << 16):
                self._output_bytes += len(data)
                room = self.limits.kept_output - len(self._output)
                self._output += data[: max(0, room)]
                if self._output_bytes > self.limits.output:
                    self._news.set()


_DROPPED = {"PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONINSPECT", "PYTHONSTARTUP", MARK}
_SET = {
    "MPLBACKEND": "agg",
    "PYTHONBREAKPOINT": "0",  # nobody sits at the child's keyboard
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONIOENCODING": "utf-8:backslashreplace",
    "PYTHONUNBUFFERED": "1",  # what was printed last is known although the child was ended
}


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        # A lab may have taken away its folder's rights.
        for path, _, _ in os.walk(folder):
            with contextlib.suppress(OSError):
                Path(path).chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)
