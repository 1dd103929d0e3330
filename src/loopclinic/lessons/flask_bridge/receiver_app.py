"""Hosts a lab's `Receiver` inside the WSGI server's process and observes it there."""

import asyncio
import faulthandler
import functools
import gc
import logging
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from urllib.parse import urlsplit

import psutil

from loopclinic.import_path import imported
from loopclinic.lessons.core.exits_and_stdin import no_keyboard, note_exits
from loopclinic.lessons.core.shared_findings import Place
from loopclinic.lessons.core.stacks import defined_at, raised_at, stands_at, waits_at
from loopclinic.probe import garbage
from loopclinic.probe.frames import top_frame

LEFT_AT = "the lab left at"
"""What the process prints before the line of the lab's that ends it."""

NEVER_AWAITED = "A coroutine is never awaited:"
_CLOSING = 0.05
"""Seconds in which a loop on another thread ends what was closed."""
_MOST = 10
"""Errors that are kept."""
_UNSEEN = ("Unclosed ", "Task exception was never", "Future exception was never")
_frame = sys._getframe  # noqa: SLF001 - documented


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error of the lab's, and the line it came from; as the end of a text by `str`."""

    message: str
    place: Place | None = None

    def __str__(self) -> str:
        return f" {self.message}" if self.message else ""


@dataclass(slots=True)
class Seen:
    """What a lab made for its webhooks since it was served, and what goes on."""

    opened: int = 0
    """Connections to the database: sockets, whichever library it was."""
    started: int = 0
    """Threads."""
    recording: int = 0
    """Calls of `record` that are under way."""
    recorded: int = 0
    """Calls of `record` that came to their end."""
    loops: int = 0
    """Event loops that `record` ran on."""
    opened_at: Place | None = None
    started_at: Place | None = None
    runs_at: Place | None = None
    """The line that ran these loops."""
    errors: list[Trouble] = field(default_factory=list)
    unseen: list[Trouble] = field(default_factory=list)
    """What the exception handler of a loop reported, and coroutines that were never awaited."""
    tasks: int = 0
    tasks_at: list[Place] = field(default_factory=list)
    """Lines that tasks wait at."""
    inside: int = 0
    """Threads that are in the lab's code."""
    waits_at: Place | None = None
    """The line at which most of them are."""
    connections: int = 0
    view: Place | None = None
    """Where the lab answers webhooks."""
    close: Place | None = None
    threads: int = 0
    """All threads but the kit's own."""
    late: bool = False
    """Whether `close` took longer than the grace."""
    closing: str | None = None
    """The error that `close` raised."""


class Hosted:
    """`app` and `close` of the lab in `file`, and in `state()` what is seen of it.

    `record` is wrapped where it stands: the lab promises to call it.
    """

    def __init__(self, file: str, dsn: str, secret: str, size: int, timeout: float) -> None:
        self._database = urlsplit(dsn).port or 5432
        self._lock = threading.Lock()
        self._seen = Seen()
        self._loops: set[asyncio.AbstractEventLoop] = set()
        self._lines = {name: Counter[Place]() for name in ("runs_at", "opened_at", "started_at")}
        self._record: CodeType | None = None
        self._kept_open: int | None = None
        """Connections that were open when `close` had returned."""
        sys.addaudithook(self._count_connections)
        self._count_threads()
        logging.getLogger("asyncio").addFilter(self._note_unseen)
        warnings._warn_unawaited_coroutine = self._note_never_awaited  # type: ignore[attr-defined]  # noqa: SLF001
        no_keyboard(_refuse)
        faulthandler.enable(all_threads=False)
        note_exits(_leave)
        lab: Any = imported(Path(file), "lab")
        lab.record = self._watched(lab.record)
        self._receiver = lab.Receiver(dsn, bytes.fromhex(secret), size=size, timeout=timeout)
        self._note_request_errors(self._receiver.app)

    def close(self) -> None:
        """Close the lab's receiver."""
        self._receiver.close()
        time.sleep(_CLOSING)
        self._kept_open = self._connections()
        garbage.collect()  # only then is a task that failed, or a session left open, reported

    def state(self) -> dict[str, Any]:
        """Return what was seen so far, and what goes on: fields of `Seen`, as JSON values."""
        tasks = [one for one in gc.get_objects() if isinstance(one, asyncio.Task)]
        running = [one for one in tasks if not one.done()]
        standing = self._standing()
        with self._lock:
            now = self._seen
            now.loops = len(self._loops)
            for name, lines in self._lines.items():
                setattr(now, name, most_common(lines))
            now.tasks = len(running)
            now.tasks_at = [place for one in running if (place := waits_at(one))]
            now.inside, now.waits_at = standing.total(), most_common(standing)
            now.connections = self._connections() if self._kept_open is None else self._kept_open
            now.view, now.close = self._view(), defined_at(self._receiver.close)
            found = asdict(now)
        for name in ("threads", "late", "closing"):  # the server's to say
            del found[name]
        return found

    # What is counted.

    def _watched(self, record: Any) -> Any:
        async def watched(*args: Any, **options: Any) -> Any:
            loop = asyncio.get_running_loop()
            with self._lock:
                self._seen.recording += 1
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
                    self._seen.recording -= 1
            with self._lock:
                self._seen.recorded += 1
            return value

        self._record = watched.__code__
        return functools.wraps(record)(watched)

    def _count_connections(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.connect" and args[1][1:2] == (self._database,):
            with self._lock:
                self._seen.opened += 1
                # A pool that grows while `record` asks it for a connection is made elsewhere.
                stack = traceback.walk_stack(_frame(1))
                grows = any(one.f_code is self._record for one, _ in stack)
                self._note_line("opened_at", None if grows else stands_at(_frame(1)))

    def _count_threads(self) -> None:
        start = threading.Thread.start

        @functools.wraps(start)
        def counted(thread: threading.Thread) -> None:
            if (place := stands_at(_frame(1))) is not None:
                with self._lock:
                    self._seen.started += 1
                    self._note_line("started_at", place)
            start(thread)

        # Python 3.11 has no audit event for it.
        threading.Thread.start = counted  # type: ignore[assignment, method-assign]

    def _note_line(self, name: str, place: Place | None) -> None:
        if place is not None:
            self._lines[name][place] += 1

    # Errors.

    def _note_request_errors(self, app: Any) -> None:
        """Note what the application raises, and what Flask answers by 500; set `app`."""

        def noting(*args: Any) -> Any:
            try:
                return app(*args)
            except BaseException as error:
                self._note_error(error)
                raise

        def note(_: Any, exception: BaseException, **__: Any) -> None:
            self._note_error(exception)

        from flask import Flask, got_request_exception  # a lab may do without

        if isinstance(app, Flask):
            got_request_exception.connect(note, app)
        self._noting = note  # signals hold their receivers weakly
        self.app = noting if callable(app) else app

    def _note_unseen(self, record: logging.LogRecord) -> bool:
        """Keep what a loop's exception handler reports of errors and sessions that were forgotten."""
        said = record.getMessage().partition("\n")[0]
        if said.startswith(_UNSEEN):
            error = record.exc_info[1] if record.exc_info else None
            what = f": {type(error).__name__}: {error}" if error else ""
            place = raised_at(error) if error else None
            self._seen.unseen.append(Trouble(f"{said}{what}"[:300], place))
        return True

    def _note_never_awaited(self, coro: Any) -> None:
        """Keep a coroutine that the very line which made it has dropped: no other was forgotten for sure."""
        place = stands_at(_frame(1))
        if place and f"{coro.__name__}(" in place.code and len(self._seen.unseen) < _MOST:
            self._seen.unseen.append(Trouble(f"{NEVER_AWAITED} {place.quoted}", place))

    def _note_error(self, error: BaseException) -> None:
        # The first error names a foreign loop; tidying up after it raises others.
        chain = [error]
        while (before := chain[-1].__context__) is not None and len(chain) < _MOST:
            chain.append(before)
        error = next((one for one in chain if "loop" in str(one)), error)
        found = Trouble(f"{type(error).__name__}: {error}"[:300], raised_at(chain[0]))
        with self._lock:
            if len(self._seen.errors) < _MOST:
                self._seen.errors.append(found)

    # Where the lab stands.

    def _view(self) -> Place | None:
        """Return where the function is defined that answers webhooks."""
        with suppress(Exception):  # a lab may have another framework, or another route
            app = self._receiver.app
            endpoint, _ = app.url_map.bind("").match("/status", method="POST")
            return defined_at(app.view_functions[endpoint])
        return None

    def _standing(self) -> Counter[Place]:
        """Return the lab's lines that threads stand at, and how many stand at each."""
        others = {one.ident or 0 for one in threading.enumerate()} - {threading.get_ident()}
        return Counter(place for one in others if (place := stands_at(top_frame(one))))

    def _connections(self) -> int:
        """Count open connections to the database."""
        return sum(
            bool(one.raddr and one.raddr.port == self._database and one.status == "ESTABLISHED")
            for one in psutil.Process().net_connections("tcp")
        )


def _refuse() -> None:
    raise EOFError("the keyboard was read, and a service has none")


def _leave(frame: FrameType) -> None:
    place = f'File "{frame.f_code.co_filename}", line {frame.f_lineno}'
    print(LEFT_AT, place, file=sys.stderr, flush=True)


def _below_the_loop(frame: FrameType | None) -> Place | None:
    """Return the lab's line below the loop on this stack: the one that runs it."""
    while frame is not None and frame.f_code.co_name != "run_forever":
        frame = frame.f_back
    return stands_at(frame)


def most_common(places: Counter[Place]) -> Place | None:
    """Return the line that most of these are."""
    return places.most_common(1)[0][0] if places else None
