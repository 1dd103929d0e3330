"""The limits a trial runs under, and the whole of its process tree: what it uses, how it is ended."""

import contextlib
import os
import signal
from dataclasses import dataclass

import psutil

__all__ = ["MARK", "Limits", "Tree"]

MARK = "LOOPCLINIC_TRIAL"
"""The environment variable that marks every process of a trial."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a trial may use: seconds, bytes, counts."""

    seconds: float = 12.0
    """From when the child is ready: how long a busy machine takes to start it is not the lab's doing."""
    start: float = 30.0
    """Seconds until the child must be ready."""
    memory: int = 2_000_000_000
    output: int = 50_000_000
    kept_output: int = 64 << 10
    open_files: int = 2048
    file_size: int = 1 << 30
    processes: int = 100


class Tree:
    """A child process with all that came out of it, also what has left its session."""

    def __init__(self, pid: int, mark: str) -> None:
        self._root = psutil.Process(pid)
        self._mark = mark
        self._born = self._root.create_time()
        self._known: dict[int, psutil.Process] = {pid: self._root}
        self._looks = 0

    def root_ended(self) -> bool:
        """Whether the child has ended; it is not waited for, so that its number stays taken."""
        return not _alive(self._root)

    @property
    def processes(self) -> list[psutil.Process]:
        """The child and what was found of its descendants."""
        return list(self._known.values())

    def usage(self) -> tuple[int, int]:
        """Return resident bytes and the number of processes; descendants are looked up every fifth call."""
        self._looks += 1
        if self._looks % 5 == 0:
            self._look()
        total = 0
        for pid, process in list(self._known.items()):
            try:
                total += process.memory_info().rss
            except psutil.Error:
                if process is not self._root:
                    del self._known[pid]
        return total, len(self._known)

    def _look(self) -> None:
        with contextlib.suppress(psutil.Error):
            for process in self._root.children(recursive=True):
                self._known.setdefault(process.pid, process)

    def kill(self) -> int:
        """End every process of the tree and return how many outlived the child itself.

        Found by descent, by process group and by the mark in their environment. To be called before
        the child is waited for: until then nothing else can bear its number.
        """
        outlived: set[int] = set()
        self._look()
        for _ in range(5):
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._root.pid, signal.SIGKILL)
            alive = [*self._marked(), *(one for one in self._known.values() if _alive(one))]
            if not alive:
                break
            for process in alive:
                if process.pid != self._root.pid:
                    outlived.add(process.pid)
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs([one for one in alive if one.pid != self._root.pid], timeout=0.2)
        return len(outlived)

    def _marked(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            if process.pid in (os.getpid(), self._root.pid):
                continue
            try:
                # A second of slack: creation times are counted in clock ticks.
                if process.create_time() < self._born - 1:
                    continue
                if process.environ().get(MARK) == self._mark and _alive(process):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
