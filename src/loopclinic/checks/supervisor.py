"""Runs one trial in a child process: starts it, enforces its limits, ends it with all that it started."""

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

from loopclinic.checks.child_reports import ChildReports, Outcome
from loopclinic.checks.trial_processes import MARK, Limits, Shortage, Tree

_PERIOD = 0.05


class Supervisor:
    """One trial: `start()`, then `send()` the spec, then `wait()`; `close()` ends all of it.

    Works in any thread, needs no event loop, and is not disturbed by a running one.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.folder = Path(tempfile.mkdtemp(prefix="loopclinic-")).resolve()
        self._mark = secrets.token_hex(8)
        self._reports = ChildReports(self._mark, limits, on_ready=self._begin)
        self._started = self._began = time.monotonic()

    def start(self, package: str) -> None:
        """Start the child, or raise OSError; it imports the lesson's package while the services come up."""
        reading, writing = os.pipe()
        env = {k: v for k, v in os.environ.items() if k not in _DROPPED}
        env |= {MARK: self._mark, **_SET}
        options: dict[str, Any] = {"pass_fds": (writing,), "start_new_session": True}
        number = writing
        if sys.platform == "win32":
            import msvcrt  # only there

            number, options = msvcrt.get_osfhandle(writing), {"close_fds": False}
            os.set_handle_inheritable(number, True)
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
        self._reports.listen(os.fdopen(reading, "rb"), self._process.stdout)

    def send(self, spec: Mapping[str, Any]) -> None:
        """Send the spec, with the limits that the child keeps itself."""
        names, limits = ("seconds", "open_files", "file_size"), self.limits
        kept: dict[str, Any] = {name: getattr(limits, name) for name in names}
        # A last resort for a child whose supervisor is gone and which holds the GIL.
        kept["cpu_seconds"] = int(limits.seconds * 8) + 10
        line = json.dumps({**spec, **kept, "mark": self._mark})
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
        reports, outcome = self._reports, self._reports.outcome
        shown = ""

        def show() -> None:
            nonlocal shown
            if on_step is not None and outcome.step != shown:
                shown = outcome.step
                on_step(shown)

        while True:
            due = time.monotonic() + _PERIOD
            if not reports.news.wait(_PERIOD):
                self._shortage.late(time.monotonic() - due)
            reports.news.clear()
            self._shortage.look(self._tree.processes)
            show()
            if over := self._over(stop):
                outcome.cause, outcome.used = over
                break
        if outcome.cause not in ("ended", "died"):
            self._ask_where()
        self._finish()
        show()  # the last step and the end may be heard together
        return outcome

    def _over(self, stop: Callable[[], bool] | None) -> tuple[str, float] | None:
        """Return how the trial has ended, or which limit it passed and by what; None if it goes on."""
        if self._reports.outcome.end:
            return "ended", 0
        if self._tree.root_ended():
            return "died", 0
        if stop is not None and stop():
            return "stopped", 0
        seconds = own = time.monotonic() - self._began
        if self._reports.outcome.virtual:
            own *= 1 - self._shortage.share
        limit = self.limits.seconds if self._reports.outcome.ready else self.limits.start
        if own > limit or seconds > max(limit, self.limits.longest):
            return "deadline", own
        if self._reports.output_bytes > self.limits.output:
            return "output", self._reports.output_bytes
        memory, processes = self._tree.usage()
        most = self.limits.memory
        if memory > most and (memory := self._tree.own_memory()) > most:
            return "memory", memory
        if processes > self.limits.processes:
            return "processes", processes
        return None

    def _ask_where(self) -> None:
        if not hasattr(signal, "SIGUSR1") or not self._reports.outcome.ready:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGUSR1)
        ends = time.monotonic() + 0.2
        while not self._reports.stack_of_main() and time.monotonic() < ends:
            time.sleep(0.005)

    def _finish(self) -> None:
        reports, outcome = self._reports, self._reports.outcome
        outcome.shortage, outcome.wanted = self._shortage.share, self._shortage.wanted
        outcome.worst_shortage = self._shortage.worst
        if outcome.cause in ("ended", "died"):
            # A clean end leaves within moments; what is left of a dead child's words is read here.
            ends = time.monotonic() + 0.5
            while not self._tree.root_ended() and time.monotonic() < ends:
                time.sleep(0.002)
            reports.join(0.3)
        if outcome.end:
            outcome.cause = "ended"
        self._tree.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            outcome.exit_status = self._process.wait(2)
        reports.join(0.5)
        outcome.seconds = time.monotonic() - self._started
        reports.close()

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
