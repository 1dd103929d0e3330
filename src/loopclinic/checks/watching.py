"""Checks a lab again on every save, on a thread of its own."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from loopclinic.checks.lab_files import Unreadable, python_files
from loopclinic.verdict import Verdict

_PERIOD = 0.2
_Stamp = tuple[tuple[int, int, int], ...] | None


class Watching:
    """Looks at a file, or a folder's Python files, five times a second, so that every editor and disk will do.

    `check(on_step, stop)` gives the verdict; a save while it runs stops it and begins another.
    `on_start()`, `on_step(step)` and `on_verdict(verdict)` are called on the watch's own thread.
    """

    def __init__(
        self,
        path: Path,
        check: Callable[[Callable[[str], None], Callable[[], bool]], Verdict],
        *,
        on_start: Callable[[], None],
        on_step: Callable[[str], None],
        on_verdict: Callable[[Verdict], None],
    ) -> None:
        self.path = path
        self._check = check
        self._on_start, self._on_step, self._on_verdict = on_start, on_step, on_verdict
        self._stopping, self._wanted = threading.Event(), threading.Event()
        self._seen, name = _stamp(path), f"loopclinic-watch-{path.stem}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def running(self) -> bool:
        """Whether the watch still goes on."""
        return self._thread.is_alive()

    def start(self, *, check_now: bool = False) -> None:
        """Start watching; the first check comes with the first save, or at once."""
        if check_now:
            self._wanted.set()
        self._thread.start()

    def check_now(self) -> None:
        """Check as soon as possible, also without a save."""
        self._wanted.set()

    def stop(self, timeout: float = 3.0) -> None:
        """End the watch and a check that runs; waits up to `timeout` s for it."""
        self._stopping.set()
        if self.running and threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.is_set():
            now = _stamp(self.path)
            if now != self._seen or self._wanted.is_set():
                self._wanted.clear()
                self._seen = now
                self._on_start()
                verdict = self._check(self._on_step, self._superseded)
                # A check that was cut short by the next save has nothing to say.
                if not (verdict.status == "could-not-run" and self._superseded()):
                    self._on_verdict(verdict)
                continue
            self._stopping.wait(_PERIOD)

    def _superseded(self) -> bool:
        return self._stopping.is_set() or self._wanted.is_set() or _stamp(self.path) != self._seen


def _stamp(path: Path) -> _Stamp:
    try:
        files = python_files(path) if os.path.isdir(path) else [path]  # noqa: PTH112 - as below
        states = [os.stat(file) for file in files]  # noqa: PTH116 - called twenty times a second
    except (OSError, Unreadable):
        return None
    return tuple((state.st_mtime_ns, state.st_size, state.st_ino) for state in states)
