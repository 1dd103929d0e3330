"""Finds what a lab leaves running after its check: tasks, threads, calls, processes, sessions."""

import asyncio
import gc
import linecache
import multiprocessing
import os
import queue
import re
import sys
import threading
import time
from concurrent.futures import Future
from concurrent.futures import thread as pool
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from loopclinic.checks.child_messages import waiting_places
from loopclinic.checks.loading import LabSource
from loopclinic.probe.frames import chain_of, top_frame

_GRACE = 0.5


class Origins:
    """Remembers at which line of the lab threads, processes and calls in threads were started."""

    def __init__(self, lab: LabSource) -> None:
        self.threads: WeakKeyDictionary[threading.Thread, Any] = WeakKeyDictionary()
        self.process: dict[str, Any] | None = None
        """Of the process that was started last."""
        self.removed: dict[str, Any] | None = None
        """Where the lab's own file was removed; empty where nobody knows."""
        self._lab = lab
        self._calls: WeakKeyDictionary[Future[Any], Any] = WeakKeyDictionary()

    def install(self) -> None:
        """Begin to remember; this stays until the process ends."""
        sys.addaudithook(self._on_audit_event)
        # Python 3.11 raises no audit event for a thread.
        start = threading.Thread.start

        @wraps(start)
        def remembered(thread: threading.Thread) -> None:
            place = self._lab.place_of_frame(sys._getframe(1))  # noqa: SLF001 - documented
            # A pool's thread works where one of its calls is not over, see below, and else waits.
            if place is not None and thread._target is not pool._worker:  # type: ignore[attr-defined]  # noqa: SLF001
                self.threads[thread] = place
            start(thread)

        submit: Any = pool.ThreadPoolExecutor.submit

        @wraps(submit)
        def submitted(executor: pool.ThreadPoolExecutor, /, *args: Any, **kwargs: Any) -> Any:
            future = submit(executor, *args, **kwargs)
            place = self._lab.place_of_frame(sys._getframe(1))  # noqa: SLF001 - documented
            if place is not None:
                self._calls[future] = place
            return future

        threading.Thread.start = remembered  # type: ignore[method-assign, assignment]
        pool.ThreadPoolExecutor.submit = submitted  # type: ignore[method-assign, assignment]

    def calls(self) -> list[dict[str, Any]]:
        """Return the place that submitted each call to a pool of threads that is not over, or not begun."""
        futures = (ref() for ref in self._calls.keyrefs())
        return [self._calls[one] for one in futures if one is not None and not one.done()]

    def _on_audit_event(self, event: str, args: tuple[Any, ...]) -> None:
        if event != "os.remove" and event not in _STARTS_PROCESS:
            return
        place = self._lab.place_of_frame(sys._getframe(1))  # noqa: SLF001 - documented
        if event in _STARTS_PROCESS:
            self.process = place or self.process
            return
        with suppress(OSError, TypeError, ValueError):
            if Path(os.fsdecode(args[0])).resolve() == self._lab.copy.resolve():
                self.removed = place or {}


_STARTS_PROCESS = {
    *("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"),
}


async def find_leftovers(
    lab: LabSource, origins: Origins, kit_threads: set[threading.Thread]
) -> dict[str, list[dict[str, Any]]]:
    """Return what is left, after a grace of half a second for what is just ending.

    A thread of an executor counts by its calls, one that is queued as well as one that runs; of another pool
    unless it waits for its next job.
    multiprocessing's own helper processes don't count.
    """
    loop = asyncio.get_running_loop()
    me = asyncio.current_task()
    ends = time.monotonic() + _GRACE
    while True:
        tasks = [task for task in asyncio.all_tasks(loop) if task is not me]
        threads, calls = _working_threads(origins, kit_threads, lab), origins.calls()
        processes = _processes(origins)
        if not (tasks or threads or calls or processes) or time.monotonic() > ends:
            break
        await asyncio.sleep(0.02)
    places = {place["task"]: place for place in waiting_places(loop, lab)}
    return {
        "tasks": [
            {"name": task.get_name(), "coroutine": _title(task), **places.get(task.get_name(), {})}
            for task in tasks
        ],
        "threads": threads,
        "calls": calls,
        "processes": processes,
        "sessions": _open_sessions(),
    }


def _title(task: asyncio.Task[Any]) -> str:
    coro = task.get_coro()
    return getattr(coro, "__qualname__", type(coro).__name__)


def _working_threads(
    origins: Origins, kit_threads: set[threading.Thread], lab: LabSource
) -> list[dict[str, Any]]:
    return [
        {"name": thread.name, "daemon": thread.daemon, **place}
        for thread in threading.enumerate()
        if thread not in kit_threads and (place := origins.threads.get(thread)) is not None
        if not _idle(thread, lab)
    ]


def _idle(thread: threading.Thread, lab: LabSource) -> bool:
    """Return whether a thread of a library's pool waits for its next job: its loop is at a queue's `get`."""
    stack = chain_of(top_frame(thread.ident or 0))
    if any(lab.owns(frame.f_code.co_filename) for frame in stack):
        return False
    waits = (queue.__file__, threading.__file__)
    frame = next((one for one in stack if one.f_code.co_filename not in waits), None)
    code = linecache.getline(frame.f_code.co_filename, frame.f_lineno or 0) if frame else ""
    return re.search(r"\bget\b", code) is not None


def _processes(origins: Origins) -> list[dict[str, Any]]:
    import psutil  # only looked for where a process was started

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
        found.append({"pid": process.pid, "command": command, **(origins.process or {})})
    return found


def _open_sessions() -> list[dict[str, Any]]:
    kind = getattr(sys.modules.get("aiohttp"), "ClientSession", None)
    objects = gc.get_objects() if kind else ()
    opened = (one for one in objects if type(one) is kind and not one.closed)
    return [{"kind": "aiohttp.ClientSession"} for _ in opened]
