"""Runs one trial in a child process: starts it, holds it to its limits, ends all of it."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from loopclinic.checks.hearing import Hearing, Outcome
from loopclinic.checks.limits import MARK, Limits, Tree
from loopclinic.checks.shortage import Shortage

__all__ = ["Supervisor"]

_PERIOD = 0.05


class Supervisor:
    """One trial: `start()`, then `send()` the spec, then `wait()`; `close()` ends all of it.

    Works in any thread, needs no event loop, and is not disturbed by a running one.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.folder = Path(tempfile.mkdtemp(prefix="loopclinic-")).resolve()
        self._mark = secrets.token_hex(8)
        self._hearing = Hearing(self._mark, limits, on_ready=self._begin)
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
        self._hearing.listen(os.fdopen(reading, "rb"), self._process.stdout)

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
        hearing, outcome = self._hearing, self._hearing.outcome
        shown = ""

        def show() -> None:
            nonlocal shown
            if on_step is not None and outcome.step != shown:
                shown = outcome.step
                on_step(shown)

        while True:
            due = time.monotonic() + _PERIOD
            if not hearing.news.wait(_PERIOD):
                self._shortage.late(time.monotonic() - due)
            hearing.news.clear()
            self._shortage.look(self._tree.processes)
            show()
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
        show()  # the last step and the end may be heard together
        return outcome

    def _broken_limit(self, stop: Callable[[], bool] | None) -> tuple[str, float] | None:
        if stop is not None and stop():
            return "stopped", 0
        seconds = time.monotonic() - self._began
        if seconds > (self.limits.seconds if self._hearing.outcome.ready else self.limits.start):
            return "deadline", seconds
        if self._hearing.output_bytes > self.limits.output:
            return "output", self._hearing.output_bytes
        memory, processes = self._tree.usage()
        if memory > self.limits.memory:
            return "memory", memory
        if processes > self.limits.processes:
            return "processes", processes
        return None

    def _ask_where(self) -> None:
        if not hasattr(signal, "SIGUSR1") or not self._hearing.outcome.ready:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGUSR1)
        ends = time.monotonic() + 0.2
        while not self._hearing.stack_of_main() and time.monotonic() < ends:
            time.sleep(0.005)

    def _finish(self) -> None:
        hearing, outcome = self._hearing, self._hearing.outcome
        outcome.shortage, outcome.wanted = self._shortage.share, self._shortage.wanted
        outcome.worst_shortage = self._shortage.worst
        if outcome.cause in ("ended", "died"):
            # A clean end leaves within moments; what is left of a dead child's words is read here.
            ends = time.monotonic() + 0.5
            while not self._tree.root_ended() and time.monotonic() < ends:
                time.sleep(0.002)
            hearing.join(0.3)
        if outcome.end:
            outcome.cause = "ended"
        self._tree.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            outcome.exit_status = self._process.wait(2)
        hearing.join(0.5)
        outcome.seconds = time.monotonic() - self._started
        hearing.close()

    def _begin(self) -> None:
        self._began = time.monotonic()
        self._shortage.begin(self._tree.processes)

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
