"""What a lab leaves behind when its rehearsal is over: threads, tasks, processes, sessions."""

import asyncio
import gc
import multiprocessing
import os
import sys
import threading
import time
import weakref
from concurrent.futures import thread as pool
from functools import wraps
from pathlib import Path
from typing import Any

from loopclinic.checks.loading import LabSource
from loopclinic.checks.lookout import waiting_places

__all__ = ["Origins", "find_leftovers"]

_GRACE = 0.5
_frames = sys._current_frames  # noqa: SLF001 - the documented way to another thread's stack


class Origins:
    """Remembers at which line of the lab threads and processes were started."""

    def __init__(self, lab: LabSource) -> None:
        self._lab = lab
        self._threads: weakref.WeakKeyDictionary[threading.Thread, Any] = (
            weakref.WeakKeyDictionary()
        )
        self._processes: list[dict[str, Any]] = []
        self.removed: dict[str, Any] | None = None

    def install(self) -> None:
        """Begin to remember; this stays until the process ends."""
        sys.addaudithook(self._hear)
        # Python 3.11 raises no audit event for a thread.
        start = threading.Thread.start

        @wraps(start)
        def remembered(thread: threading.Thread) -> None:
            place = self._lab.place_of_frame(sys._getframe(1))  # noqa: SLF001 - documented
            if place is not None:
                self._threads[thread] = place
            start(thread)

        threading.Thread.start = remembered  # type: ignore[method-assign, assignment]

    def of_thread(self, thread: threading.Thread) -> dict[str, Any] | None:
        """Return the place that started this thread, or None if it was not the lab."""
        place: dict[str, Any] | None = self._threads.get(thread)
        return place

    def of_processes(self) -> dict[str, Any] | None:
        """Return the place that started a process last, or None."""
        return self._processes[-1] if self._processes else None

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in _HEARD:
            return
        place = self._lab.place_of_frame(sys._getframe(1))  # noqa: SLF001 - documented
        if event == "os.remove":
            try:
                if Path(os.fsdecode(args[0])).resolve() == self._lab.copy.resolve():
                    self.removed = place or {}
            except (OSError, TypeError, ValueError):
                pass
        elif place is not None:
            self._processes.append(place)


_HEARD = {
    "subprocess.Popen",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "os.remove",
}


async def find_leftovers(
    lab: LabSource, origins: Origins, kit_threads: set[threading.Thread]
) -> dict[str, list[dict[str, Any]]]:
    """Return what is left, after a grace of half a second for what is just ending.

    Idle threads of an executor don't count, nor do multiprocessing's own helper processes.
    """
    loop = asyncio.get_running_loop()
    me = asyncio.current_task()
    ends = time.monotonic() + _GRACE
    while True:
        tasks = [task for task in asyncio.all_tasks(loop) if task is not me]
        threads = _working_threads(origins, kit_threads)
        processes = _processes(origins)
        if not (tasks or threads or processes) or time.monotonic() > ends:
            break
        await asyncio.sleep(0.02)
    places = {place["task"]: place for place in waiting_places(loop, lab)}
    return {
        "tasks": [
            {"name": task.get_name(), "coroutine": _title(task), **places.get(task.get_name(), {})}
            for task in tasks
        ],
        "threads": threads,
        "processes": processes,
        "sessions": _open_sessions(),
    }


def _title(task: asyncio.Task[Any]) -> str:
    coro = task.get_coro()
    return getattr(coro, "__qualname__", type(coro).__name__)


def _working_threads(origins: Origins, kit_threads: set[threading.Thread]) -> list[dict[str, Any]]:
    stacks = _frames()
    found = []
    for thread in threading.enumerate():
        place = origins.of_thread(thread)
        if thread in kit_threads or place is None or not thread.is_alive():
            continue
        frame = stacks.get(thread.ident or 0)
        # A pool's worker that waits for work stands in `_worker` itself; one that works, deeper.
        if frame is not None and frame.f_code is pool._worker.__code__:  # noqa: SLF001
            continue
        found.append({"name": thread.name, "daemon": thread.daemon, **place})
    return found


def _processes(origins: Origins) -> list[dict[str, Any]]:
    import psutil  # noqa: PLC0415 - only looked for where a process was started

    own = set()
    for name, attribute in (("resource_tracker", "_pid"), ("forkserver", "_forkserver_pid")):
        module = sys.modules.get(f"{multiprocessing.__name__}.{name}")
        keeper = getattr(module, f"_{name}", None)
        own.add(getattr(keeper, attribute, None))
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.pid in own or process.status() == psutil.STATUS_ZOMBIE:
                continue
            command = " ".join(process.cmdline())[:200]
        except psutil.Error:
            continue
        found.append({"pid": process.pid, "command": command, **(origins.of_processes() or {})})
    return found


def _open_sessions() -> list[dict[str, Any]]:
    aiohttp = sys.modules.get("aiohttp")
    if aiohttp is None:
        return []
    kind = getattr(aiohttp, "ClientSession", None)
    if kind is None:
        return []
    sessions = [one for one in gc.get_objects() if type(one) is kind and not one.closed]
    return [{"kind": "aiohttp.ClientSession"} for _ in sessions]
