"""A lab's `Receiver` inside the WSGI server's process, and what can be seen of it there."""

import asyncio
import functools
import gc
import itertools
import logging
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from urllib.parse import urlsplit

import psutil

from loopclinic.importing import imported
from loopclinic.lessons.whereabouts import (
    Place,
    defined_at,
    learners,
    line_at,
    raised_at,
    waits_at,
)

__all__ = ["Hosted"]

_MOST = 10
"""Errors that are kept."""
_UNSEEN = ("Unclosed ", "Task exception was never", "Future exception was never")
_frames = sys._current_frames  # noqa: SLF001 - the documented way to another thread's stack
_frame = sys._getframe  # noqa: SLF001 - documented

Line = tuple[str, int]


class Hosted:
    """`app` and `close` of the lab in `file`, and in `state()` what the lab made for its webhooks.

    Loops are those that `record` ran on, which is wrapped where it stands: the lab promises to call it.
    Connections are sockets that were connected to the database, whichever library did it.
    """

    def __init__(self, file: str, dsn: str, secret: str, size: int, timeout: float) -> None:
        self._database = urlsplit(dsn).port or 5432
        self._lock = threading.Lock()
        self._loops: set[asyncio.AbstractEventLoop] = set()
        self._made = Counter(opened=0, started=0, recording=0, recorded=0)
        self._lines = {name: Counter[Line]() for name in ("runs_at", "opened_at", "started_at")}
        self._errors: list[dict[str, Any]] = []
        self._unseen: list[dict[str, Any]] = []
        self._record: CodeType | None = None
        sys.addaudithook(self._count_connections)
        self._count_threads()
        logging.getLogger("asyncio").addFilter(self._note_unseen)
        lab: Any = imported(Path(file), "lab")
        lab.record = self._watched(lab.record)
        self._receiver = lab.Receiver(dsn, bytes.fromhex(secret), size=size, timeout=timeout)
        self.app = self._receiver.app
        self._note_request_errors()

    def close(self) -> None:
        """Close the lab's receiver."""
        self._receiver.close()
        gc.collect()  # only then is a task that failed, or a session left open, reported

    def state(self) -> dict[str, Any]:
        """Return what was seen so far, and what goes on, as JSON values."""
        with self._lock:
            found = {
                **self._made,
                **{name: _most(lines) for name, lines in self._lines.items()},
                "loops": len(self._loops),
                "errors": list(self._errors),
                "unseen": list(self._unseen),
            }
        tasks = [one for one in gc.get_objects() if isinstance(one, asyncio.Task)]
        running = [one for one in tasks if not one.done()]
        standing = self._standing()
        return {
            **found,
            "tasks": len(running),
            "tasks_at": [place for one in running if (place := waits_at(one))],
            "waits_at": _most(standing),
            "inside": standing.total(),
            "connections": self._connections(),
            "view": self._view(),
            "close": defined_at(self._receiver.close),
        }

    # What is counted.

    def _watched(self, record: Any) -> Any:
        async def watched(*args: Any, **options: Any) -> Any:
            loop = asyncio.get_running_loop()
            with self._lock:
                self._made["recording"] += 1
                if loop not in self._loops:
                    self._loops.add(loop)
                    self._note_line("runs_at", _below_the_loop(_frame()))
            try:
                value = await record(*args, **options)
            except Exception as error:
                self._note_error(error)
                raise
            finally:
                with self._lock:
                    self._made["recording"] -= 1
            with self._lock:
                self._made["recorded"] += 1
            return value

        self._record = watched.__code__
        return functools.wraps(record)(watched)

    def _count_connections(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.connect" and args[1][1:2] == (self._database,):
            self._count("opened", list(_stack(_frame(1))))

    def _count_threads(self) -> None:
        start = threading.Thread.start

        @functools.wraps(start)
        def counted(thread: threading.Thread) -> None:
            stack = list(_stack(_frame(1)))
            if any(map(_of_learners, stack)):
                self._count("started", stack)
            start(thread)

        # Python 3.11 has no audit event for it.
        threading.Thread.start = counted  # type: ignore[assignment, method-assign]

    def _count(self, what: str, stack: list[FrameType]) -> None:
        line = next(filter(_of_learners, stack), None)
        # A pool that grows while `record` asks it for a connection is made elsewhere.
        grows = any(one.f_code is self._record for one in stack)
        with self._lock:
            self._made[what] += 1
            self._note_line(f"{what}_at", None if grows else line)

    def _note_line(self, name: str, frame: FrameType | None) -> None:
        if frame is not None:
            self._lines[name][frame.f_code.co_filename, frame.f_lineno] += 1

    # Errors.

    def _note_request_errors(self) -> None:
        from flask import Flask, got_request_exception  # noqa: PLC0415 - a lab may do without

        if not isinstance(self.app, Flask):
            return

        def note(_: Any, exception: BaseException, **__: Any) -> None:
            self._note_error(exception)

        self._noting = note  # signals hold their receivers weakly
        got_request_exception.connect(note, self.app)

    def _note_unseen(self, record: logging.LogRecord) -> bool:
        """Keep what a loop's exception handler reports of errors and sessions that were forgotten."""
        said = record.getMessage().partition("\n")[0]
        if said.startswith(_UNSEEN):
            error = record.exc_info[1] if record.exc_info else None
            what = f": {type(error).__name__}: {error}" if error else ""
            place = raised_at(error) if error else None
            self._unseen.append({"message": f"{said}{what}"[:300], "place": place})
        return True

    def _note_error(self, error: BaseException) -> None:
        # The first error names a foreign loop; tidying up after it raises others.
        chain = [error]
        while (before := chain[-1].__context__) is not None and len(chain) < _MOST:
            chain.append(before)
        error = next((one for one in chain if "loop" in str(one)), error)
        found = {"message": f"{type(error).__name__}: {error}"[:300], "place": raised_at(chain[0])}
        with self._lock:
            if len(self._errors) < _MOST:
                self._errors.append(found)

    # Where the lab stands.

    def _view(self) -> Place | None:
        """Return where the function is defined that answers webhooks."""
        with suppress(Exception):  # a lab may have another framework, or another route
            endpoint, _ = self.app.url_map.bind("").match("/status", method="POST")
            return defined_at(self.app.view_functions[endpoint])
        return None

    def _standing(self) -> "Counter[Line]":
        """Return the lab's lines that threads stand at, and how many stand at each."""
        lines: Counter[Line] = Counter()
        for number, top in _frames().items():
            frame = next(filter(_of_learners, _stack(top)), None)
            if frame is not None and number != threading.get_ident():
                lines[frame.f_code.co_filename, frame.f_lineno] += 1
        return lines

    def _connections(self) -> int:
        """Count open connections to the database."""
        return sum(
            bool(one.raddr and one.raddr.port == self._database and one.status == "ESTABLISHED")
            for one in psutil.Process().net_connections("tcp")
        )


def _stack(frame: FrameType | None) -> Iterable[FrameType]:
    """Yield this frame and those that called it."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def _of_learners(frame: FrameType) -> bool:
    return learners(frame.f_code.co_filename)


def _below_the_loop(frame: FrameType) -> FrameType | None:
    """Return the lab's frame below the loop on this stack: the one that runs it."""
    stack = itertools.dropwhile(lambda one: one.f_code.co_name != "run_forever", _stack(frame))
    return next(filter(_of_learners, stack), None)


def _most(lines: "Counter[Line]") -> Place | None:
    return line_at(*lines.most_common(1)[0][0]) if lines else None
