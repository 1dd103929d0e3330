"""`Disk`: watches what is done to the files of a folder, and on which thread; makes it slow or fail."""

import asyncio
import errno
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from loopclinic.lessons.core import Place
from loopclinic.lessons.core.stacks import stands_at

_FILE_METHODS = {"__exit__", "close", "flush", "read", "truncate", "write", "writelines"}
_OS_CALLS = {
    *("access", "chmod", "close", "fdatasync", "fstat", "fstatvfs", "fsync", "ftruncate", "link"),
    *("listdir", "lstat", "mkdir", "open", "posix_fallocate", "pread", "pwrite", "read"),
    *("readlink", "remove", "rename", "replace", "rmdir", "scandir", "sendfile", "stat", "statvfs"),
    *("symlink", "sync", "truncate", "unlink", "utime", "write", "writev"),
}
_SYNCS, _NAMES = {"fsync", "fdatasync"}, {"os.rename", "os.link"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_REACHES, _PATIENCE = 0.05, 2.0
"""Seconds for which a thread stands still when a task was cancelled, and at most if the loop is stuck."""


@dataclass(frozen=True, slots=True)
class Touch:
    """Calls of one function that does something to a file, on the loop's thread at one line."""

    function: str
    times: int
    place: Place | None


class Disk:
    """What a lab does to a folder's files. One is in use at a time; `begin` forgets what was seen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loop = asyncio.get_running_loop()
        self._wake, self._home = self.loop.call_soon_threadsafe, threading.get_ident()
        self._held = False
        self.begin()

    def begin(
        self,
        name: str = "",
        size: int | None = None,
        slow: float = 0.0,
        old: bytes | None = None,
    ) -> None:
        """Forget what was seen; expect a file of this name to have so many bytes when it is whole.

        `slow`: seconds that each operation on a thread takes more; `old` is what the name has now.
        """
        if old is not None:
            # loopclinic: ignore[blocking-file-io] a few bytes, before anything is measured
            (self.folder / name).write_bytes(old)
        self._on_loop: dict[tuple[str, Place | None], int] = {}
        self.hops, self.early, self.named = 0, "", False
        """`early` says how the name appeared too soon, `named` whether it appeared."""
        self.points: list[str] = []
        """What was about to happen whenever a save could be cancelled or fail."""
        self.stop_at = -1
        self.act: Callable[[], object] = bool
        self.ended = self.went_on = False
        """Whether the save is over, and whether something of it was still at work then, or came to be."""
        self._target, self._whole, self._slow = str(self.folder / name), size, slow
        self._synced: dict[int, int] = {}
        """Bytes that were synced, by the number of the file's inode."""
        self.jobs: list[Future[Any]] = []
        self._before = sum(self.files().values())

    # What is asked of it.

    def files(self, folder: str | Path = "") -> dict[str, int]:
        """Return the size of each file in the folder and below, by its path."""
        found = dict[str, int]()
        # loopclinic: ignore[blocking-file-io] microseconds, and no lab is judged by a clock
        with os.scandir(folder or self.folder) as entries:
            for one in entries:
                with suppress(FileNotFoundError):  # a thread may have renamed it by now
                    found |= (
                        self.files(one.path) if one.is_dir() else {one.path: one.stat().st_size}
                    )
        return found

    def empty(self) -> None:
        """Delete all files."""
        for path in self.files():
            # loopclinic: ignore[blocking-file-io] between saves
            Path(path).unlink()

    def content(self, name: str) -> bytes | None:
        """Return what a file has, None if there is none of that name."""
        path = str(self.folder / name)
        # loopclinic: ignore[blocking-file-io] between saves
        return Path(path).read_bytes() if path in self.files() else None

    def written(self) -> int:
        """Return how many bytes there are more than at first."""
        return sum(self.files().values()) - self._before

    @property
    def on_loop(self) -> tuple[Touch, ...]:
        """What the loop's thread did to files, in order."""
        return tuple(Touch(name, times, at) for (name, at), times in self._on_loop.items())

    @property
    def working(self) -> bool:
        """Whether a thread is at work, or a job that was given to a pool of threads is not over."""
        return self._held or any(not one.done() for one in self.jobs)

    @staticmethod
    def open_files() -> set[tuple[int, int]]:
        """Return number and inode of each descriptor of a regular file."""
        found = set()
        for number in range(3, 256):
            with suppress(OSError):
                if stat.S_ISREG((one := os.fstat(number)).st_mode):
                    found.add((number, one.st_ino))
        return found

    def end(self, save: "asyncio.Task[Any]") -> None:
        """Note that a save is over."""
        del save
        self.ended, self.went_on = True, self.went_on or self.working

    # What is done at a point.

    def point(self, what: str) -> None:
        """Note that this is about to happen, and act if it is what was waited for."""
        self.points.append(what)
        if len(self.points) - 1 == self.stop_at:
            self.act()

    def cancels(self, task: "asyncio.Task[Any]") -> None:
        """Cancel a task; a thread that does it stands still until the task had time to end without it."""
        if threading.get_ident() == self._home:
            task.cancel()
            return
        go_on = threading.Event()

        def cancel() -> None:
            task.cancel()
            self.loop.call_later(_REACHES, go_on.set)

        self._held = True
        self._wake(cancel)
        go_on.wait(_PATIENCE)
        self._held = False

    @staticmethod
    def fails() -> None:
        """Fail as a full disk does."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @staticmethod
    @contextmanager
    def full_after(size: int) -> Iterator[None]:
        """Let no file grow beyond so many bytes: writing more raises OSError. Not on Windows."""
        if sys.platform == "win32":
            yield
            return
        import resource  # not on Windows

        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    # What it sees.

    def audited(self, event: str, args: tuple[Any, ...]) -> None:
        """See a file that is opened, renamed or removed."""
        named = isinstance(args[0], str | os.PathLike) if args else False
        if not named or event not in {"open", "os.remove", *_NAMES}:
            return
        paths = [str(Path(one).absolute()) for one in args[: 1 + (event in _NAMES)]]
        if not any(one.startswith(f"{self.folder}{os.sep}") for one in paths):
            return
        if event != "open" or args[2] & _WRITES:
            self.went_on = self.went_on or self.ended
            self._named(event, paths)
            # Of what only cleans up, a failure is nobody's to handle.
            if event != "os.remove":
                self.point(f"it was about to {event.removeprefix('os.')} a file")
        on_loop = threading.get_ident() == self._home and not self.ended
        if on_loop and stands_at(sys._getframe(2)) is None:  # noqa: SLF001 - documented
            self._on_loop[event, None] = 1

    def _named(self, event: str, paths: list[str]) -> None:
        """See whether the name changes before its file is whole and synced."""
        if self._target not in paths or self.early:
            return
        if event == "open":
            self.early = "was opened for writing under that name"
        elif paths[-1] != self._target or event == "os.remove":
            self.early = "was taken away before the new one was there" if not self.named else ""
        else:
            number, size = _inode(paths[0])
            synced = self._synced.get(number)
            if synced is None:
                self.early = "got that name before it was synced"
            elif self._whole is not None and not synced == size == self._whole:
                whole = f"{self._whole:,} bytes"
                self.early = f"got that name when {synced:,} of its {whole} were synced"
            self.named = True

    def profiled(self, frame: Any, event: str, function: Any) -> None:
        """See a call of a function that is written in C."""
        if event == "c_call" and frame.f_code.co_filename != __file__ and _of_files(function):
            self._called(function.__name__, frame)

    def _called(self, name: str, frame: Any, descriptor: int | None = None) -> None:
        if name in _SYNCS:  # a name that was imported from os does not say of which file
            self._synced |= map(_inode, self.files() if descriptor is None else (descriptor,))
        if threading.get_ident() != self._home:
            if self._slow:
                time.sleep(self._slow)
            return
        imports = "importlib" in frame.f_code.co_filename  # which reads files, too
        if not self.ended and not imports and (place := stands_at(frame)):
            self._on_loop[name, place] = self._on_loop.get((name, place), 0) + 1

    def syncs(self, sync: Callable[[int], None]) -> Callable[[int], None]:
        """Return a sync that is seen, also where C code calls it."""

        def synced(fd: Any) -> None:
            descriptor = fd if isinstance(fd, int) else fd.fileno()
            self._called(sync.__name__, sys._getframe(), descriptor)  # noqa: SLF001 - documented
            sync(descriptor)

        return synced

    def works(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Do a job, on its thread."""
        self.point("its thread began to work")
        return function(*args, **options)

    def woken(self, *args: Any, **options: Any) -> Any:
        """Count the ways back to the loop but those of jobs: one that is over at once may need none."""
        caller = sys._getframe(1).f_globals.get("__name__", "")  # noqa: SLF001 - documented
        own = caller.startswith("loopclinic.")  # whose threads ask how the loop is
        self.hops += not own and not any(job in args for job in self.jobs)
        return self._wake(*args, **options)


def _inode(file: str | int) -> tuple[int, int]:
    """Return the number of a file's inode, 0 if there is no file, and its size."""
    with suppress(FileNotFoundError):
        found = os.stat(file)  # noqa: PTH116 - of a descriptor, too
        return found.st_ino, found.st_size
    return 0, 0


def _of_files(function: Any) -> bool:
    """Return whether a function written in C does something to a file."""
    name, module = getattr(function, "__name__", ""), getattr(function, "__module__", None)
    if module in {"posix", "nt"}:
        return name in _OS_CALLS
    if module in {"io", "_io"} and name == "open":
        return True
    owner = type(getattr(function, "__self__", None)).__module__
    return owner in {"io", "_io"} and name in _FILE_METHODS


_in_use: list[Disk] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    for disk in _in_use:
        disk.audited(event, args)


@cache
def _install() -> None:
    sys.addaudithook(_audit)  # for good: there is no way to take it away


@contextmanager
def disk_in(folder: Path) -> Iterator[Disk]:
    """Watch a folder from the running loop's thread, and every thread that starts from now on."""
    from unittest.mock import patch  # takes a while, and only who drives a lab needs it

    # loopclinic: ignore[blocking-file-io] once, before anything is measured
    folder.mkdir()
    disk, submit = Disk(folder), ThreadPoolExecutor.submit
    _install()

    def submitted(pool: Any, function: Any, /, *args: Any, **options: Any) -> Any:
        disk.went_on = disk.went_on or disk.ended
        disk.jobs.append(job := submit(pool, disk.works, function, *args, **options))
        disk.hops += 1  # to its thread, and back
        return job

    with ExitStack() as stack:
        stack.enter_context(patch.object(ThreadPoolExecutor, "submit", submitted))
        stack.enter_context(patch.object(disk.loop, "call_soon_threadsafe", disk.woken))
        for name in _SYNCS:
            if sync := getattr(os, name, None):  # macOS has one of them
                stack.enter_context(patch.object(os, name, disk.syncs(sync)))
        stack.callback(_in_use.remove, disk)
        _in_use.append(disk)
        stack.callback(sys.setprofile, None)
        stack.callback(threading.setprofile, None)
        threading.setprofile(disk.profiled)
        sys.setprofile(disk.profiled)
        yield disk
    for thread in threading.enumerate():
        # anyio's idle threads end with the loop's first task, which is not the lab's.
        if thread in getattr(thread, "idle_workers", ()):
            thread.stop()  # type: ignore[attr-defined]
