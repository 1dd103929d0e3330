"""A lab's `Receiver` inside the WSGI server's process, and what can be seen of it there."""

import asyncio
import functools
import gc
import importlib.util
import linecache
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any
from urllib.parse import urlsplit

import psutil

__all__ = ["Hosted", "Place"]

Place = dict[str, Any]

_ERRORS = 10
_frames = sys._current_frames  # noqa: SLF001 - the documented way to another thread's stack


class Hosted:
    """`app` and `close` of the lab in `file`, and in `state()` the loops that `record` ran on.

    `record` is wrapped where it stands: it is what the lab promises to call.
    """

    def __init__(self, file: str, dsn: str, secret: str, size: int, timeout: float) -> None:
        self._file = Path(file)
        self._is_folder = self._file.is_dir()
        self._database = urlsplit(dsn).port or 5432
        self._lock = threading.Lock()
        self._loops: list[asyncio.AbstractEventLoop] = []  # held: an id must not be given twice
        self._runs: Counter[tuple[str, int]] = Counter()
        self._recorded = 0
        self._errors: list[dict[str, Any]] = []
        lab = self._load()
        lab.record = self._watched(lab.record)  # type: ignore[attr-defined]
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
        return {
            "loops": loops,
            "recorded": recorded,
            "runs_at": self._placed(*runs[0][0]) if runs else self._view(),
            "errors": errors,
            "tasks": sum(
                isinstance(one, asyncio.Task) and not one.done() for one in gc.get_objects()
            ),
            "waits_at": self._waits_at(),
            "connections": self._connections(),
        }

    def _load(self) -> ModuleType:
        entry = self._file / "__init__.py" if self._is_folder else self._file
        spec = importlib.util.spec_from_file_location(
            "lab",
            entry,
            submodule_search_locations=[str(self._file)] if self._is_folder else None,
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["lab"] = module
        spec.loader.exec_module(module)
        return module

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
        frames = traceback.walk_tb(chain[0].__traceback__)
        found = {
            "type": type(error).__name__,
            "message": f"{type(error).__name__}: {error}"[:300],
            "place": self._innermost(frames),
        }
        with self._lock:
            if len(self._errors) < _ERRORS:
                self._errors.append(found)

    # Places.

    def _owns(self, file: str) -> bool:
        return file == str(self._file) or (self._is_folder and file.startswith(str(self._file)))

    def _placed(self, file: str, line: int) -> Place:
        return {"file": file, "line": line, "code": linecache.getline(file, line).strip()}

    def _innermost(self, steps: Iterable[tuple[FrameType, int]]) -> Place | None:
        found = None
        for frame, line in steps:
            if self._owns(frame.f_code.co_filename):
                found = (frame.f_code.co_filename, line)
        return self._placed(*found) if found else None

    def _who_runs_the_loop(self, frame: FrameType | None) -> tuple[str, int] | None:
        """Return the lab's line below the loop on this stack: the one that runs it."""
        inside = True
        while frame is not None:
            inside = inside and frame.f_code.co_name != "run_forever"
            if not inside and self._owns(frame.f_code.co_filename):
                return frame.f_code.co_filename, frame.f_lineno
            frame = frame.f_back
        return None

    def _view(self) -> Place | None:
        views = getattr(self.app, "view_functions", {})
        for view in views.values():
            code = getattr(getattr(view, "__wrapped__", view), "__code__", None)
            if code is not None and self._owns(code.co_filename):
                return self._placed(code.co_filename, code.co_firstlineno)
        return None

    def _waits_at(self) -> Place | None:
        """Return the lab's line that most threads stand at."""
        places: Counter[tuple[str, int]] = Counter()
        for number, top in _frames().items():
            frame: FrameType | None = top
            while frame is not None and not self._owns(frame.f_code.co_filename):
                frame = frame.f_back
            if frame is not None and number != threading.get_ident():
                places[frame.f_code.co_filename, frame.f_lineno] += 1
        return self._placed(*places.most_common(1)[0][0]) if places else None

    def _connections(self) -> int:
        """Count open connections to the database."""
        return sum(
            bool(one.raddr and one.raddr.port == self._database and one.status == "ESTABLISHED")
            for one in psutil.Process().net_connections("tcp")
        )
