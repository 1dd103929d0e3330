"""Child's end of a server process: reports to its parent, and ends when the parent does.

The parent holds the write end of the child's standard input. When that pipe closes, because the
parent let go or was killed, the child ends; nothing has to be cleaned up by anybody else.
"""

import faulthandler
import importlib
import json
import os
import queue
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

_GRACE = 1.0
"""Seconds that the child may take to close what it holds once its parent is gone."""
_GIL_LIMIT = 60.0
"""Seconds of a held GIL after which the child ends itself: the lifeline's thread can't run then."""

_Answer = Callable[[Any], Any]
_End = Callable[[], object]


class ParentLink:
    """What a child knows of its parent: `spec`, the JSON value it was started with."""

    def __init__(self) -> None:
        """Use standard input and output for messages; prints go to standard error from here on."""
        self._parent = os.getppid()
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
        os.dup2(2, 1)  # what the program prints must not mix with what it reports
        # The reports come and go through descriptors of their own: a program may close 0 and 1.
        self._in = os.dup(0)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        self._write = threading.Lock()
        self._lines = self._read_lines()
        first = next(self._lines, None)
        if first is None:
            os._exit(0)
        self.spec: Any = json.loads(first)

    def ready(self, address: Any) -> None:
        """Tell the parent that the server answers, and where."""
        self._send({"ready": address})

    def failed(self, message: str, detail: str = "") -> None:
        """Tell the parent why the server can't start."""
        self._send({"failed": message, "detail": detail})

    def listen(self, answer: _Answer | None = None, on_end: _End | None = None) -> None:
        """Answer the parent's calls in order, on a thread, and end the process when the parent is gone.

        `on_end` is called first (on that thread) and has a second to let the program finish.
        """
        # Two threads: an answer may take long, and the parent may go meanwhile.
        calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        for name, work in (
            ("answers", partial(self._reply, calls, answer)),
            ("lifeline", partial(self._watch, calls, on_end)),
        ):
            threading.Thread(target=work, name=f"loopclinic-{name}", daemon=True).start()

    async def serve(self, address: Any, answer: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
        """Tell the parent `address`, and answer its calls on the running loop until it is gone."""
        import asyncio  # not every child has a loop

        loop = asyncio.get_running_loop()
        self.ready(address)
        self.listen(lambda call: asyncio.run_coroutine_threadsafe(answer(call), loop).result())
        await asyncio.Event().wait()

    def _reply(self, calls: queue.SimpleQueue[bytes], answer: _Answer | None) -> None:
        while True:
            call = json.loads(calls.get())
            reply: dict[str, Any] = {"id": call["id"]}
            try:
                reply["value"] = answer(call["call"]) if answer else None
            except Exception as error:
                reply["error"] = f"{type(error).__name__}: {error}"
                reply["detail"] = traceback.format_exc()
            try:
                self._send(reply)
            except (OSError, ValueError):
                return  # the parent is gone: the lifeline sees it too

    def _watch(self, calls: queue.SimpleQueue[bytes], on_end: _End | None) -> None:
        for line in self._lines:
            calls.put(line)
        if on_end is not None:
            try:
                on_end()
            except RuntimeError:
                pass  # the loop is closed already: the program is ending by itself
            else:
                threading.Event().wait(_GRACE)
        _end()

    def _send(self, message: dict[str, Any]) -> None:
        with self._write:
            self._out.write(json.dumps(message, ensure_ascii=False) + "\n")
            self._out.flush()

    def _read_lines(self) -> Iterator[bytes]:
        rest = b""
        while True:
            # A second holder of the pipe (a fork of the parent) would keep it open: ask who the
            # parent is, too.
            if os.name == "posix":
                faulthandler.dump_traceback_later(_GIL_LIMIT, exit=True)
                if not select.select([self._in], [], [], 1.0)[0]:
                    if os.getppid() != self._parent:
                        return
                    continue
            chunk = os.read(self._in, 1 << 16)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines


def _end() -> None:
    faulthandler.cancel_dump_traceback_later()
    if os.name == "posix" and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)  # with every process this one started
    os._exit(0)


def run(module: str) -> None:
    """Run `module.main(link)` as a child, also if it is async; a failure goes to the parent.

    An async one is run from here, so that no line of its own stands below whatever stalls its loop.
    """
    link = ParentLink()
    _raise_file_limit()
    try:
        result = importlib.import_module(module).main(link)
        if hasattr(result, "__await__"):
            import asyncio  # not every child has a loop

            asyncio.run(result)  # loopclinic: ignore[loop-per-call] a child has one loop
    except BaseException as error:
        link.failed(f"{type(error).__name__}: {error}", traceback.format_exc())
        sys.exit(1)


def _raise_file_limit() -> None:
    try:
        import resource  # POSIX only
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
