"""A lab's `Receiver` inside the WSGI server's process, and what can be seen of it there."""

import asyncio
import functools
import gc
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import psutil

from loopclinic.importing import imported
from loopclinic.lessons.whereabouts import Place, learners, line_at, raised_at

__all__ = ["Hosted"]

_ERRORS = 10
_frames = sys._current_frames  # noqa: SLF001 - the documented way to another thread's stack


class Hosted:
    """`app` and `close` of the lab in `file`, and in `state()` the loops that `record` ran on.

    `record` is wrapped where it stands: it is what the lab promises to call.
    """

    def __init__(self, file: str, dsn: str, secret: str, size: int, timeout: float) -> None:
        self._database = urlsplit(dsn).port or 5432
        self._lock = threading.Lock()
        self._loops: list[asyncio.AbstractEventLoop] = []  # held: an id must not be given twice
        self._runs: Counter[tuple[str, int]] = Counter()
        self._recorded = 0
        self._errors: list[dict[str, Any]] = []
        lab: Any = imported(Path(file), "lab")
        lab.record = self._watched(lab.record)
        self._receiver = lab.Receiver(dsn, bytes.fromhex(secret), size=size, timeout=timeout)
        self.app = self._receiver.app
        self._hear_errors()

    def close(self) -> None:
        """Close the lab's receiver."""
        self._receiver.close()

    def state(self) -> dict[str, Any]:
        """Return what was seen so far, and what goes on, as JSON values."""
        with self._lock:
            loops, recorded = len(self._loops), self._recorded
            runs, errors = self._runs.most_common(1), list(self._errors)
        places = self._places()
        return {
            "loops": loops,
            "recorded": recorded,
            "runs_at": line_at(*runs[0][0]) if runs else self._view(),
            "errors": errors,
            "tasks": sum(
                isinstance(one, asyncio.Task) and not one.done() for one in gc.get_objects()
            ),
            "waits_at": line_at(*places.most_common(1)[0][0]) if places else None,
            "inside": places.total(),
            "connections": self._connections(),
        }

    def _watched(self, record: Any) -> Any:
        @functools.wraps(record)
        async def watched(*args: Any, **options: Any) -> Any:
            loop = asyncio.get_running_loop()
            with self._lock:
                if not any(loop is one for one in self._loops):
                    self._loops.append(loop)
                    place = self._who_runs_the_loop(sys._getframe())  # noqa: SLF001 - documented
                    if place is not None:
                        self._runs[place] += 1
            try:
                value = await record(*args, **options)
            except Exception as error:
                self._note(error)
                raise
            with self._lock:
                self._recorded += 1
            return value

        return watched

    def _hear_errors(self) -> None:
        from flask import Flask, got_request_exception  # noqa: PLC0415 - a lab may do without

        if not isinstance(self.app, Flask):
            return

        def hear(_: Any, exception: BaseException, **__: Any) -> None:
            self._note(exception)

        self._hear = hear  # signals hold their receivers weakly
        got_request_exception.connect(hear, self.app)

    def _note(self, error: BaseException) -> None:
        # A foreign loop is told by the first error; tidying up after it raises others.
        chain = [error]
        while (before := chain[-1].__context__) is not None and len(chain) < _ERRORS:
            chain.append(before)
        error = next((one for one in chain if "loop" in str(one)), error)
        found = {
            "type": type(error).__name__,
            "message": f"{type(error).__name__}: {error}"[:300],
            "place": raised_at(chain[0]),
        }
        with self._lock:
            if len(self._errors) < _ERRORS:
                self._errors.append(found)

    def _who_runs_the_loop(self, frame: FrameType | None) -> tuple[str, int] | None:
        """Return the lab's line below the loop on this stack: the one that runs it."""
        inside = True
        while frame is not None:
            inside = inside and frame.f_code.co_name != "run_forever"
            if not inside and learners(frame.f_code.co_filename):
                return frame.f_code.co_filename, frame.f_lineno
            frame = frame.f_back
        return None

    def _view(self) -> Place | None:
        views = getattr(self.app, "view_functions", {})
        for view in views.values():
            code = getattr(getattr(view, "__wrapped__", view), "__code__", None)
            if code is not None and learners(code.co_filename):
                return line_at(code.co_filename, code.co_firstlineno)
        return None

    def _places(self) -> "Counter[tuple[str, int]]":
        """Return the lab's lines that threads stand at, and how many stand at each."""
        places: Counter[tuple[str, int]] = Counter()
        for number, top in _frames().items():
            frame: FrameType | None = top
            while frame is not None and not learners(frame.f_code.co_filename):
                frame = frame.f_back
            if frame is not None and number != threading.get_ident():
                places[frame.f_code.co_filename, frame.f_lineno] += 1
        return places

    def _connections(self) -> int:
        """Count open connections to the database."""
        return sum(
            bool(one.raddr and one.raddr.port == self._database and one.status == "ESTABLISHED")
            for one in psutil.Process().net_connections("tcp")
        )
