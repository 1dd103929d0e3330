"""Calls back when any event loop of the process starts to run or stops."""

import asyncio
import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Self

from loopclinic.probe.undisturbed import undisturbed

_log = logging.getLogger("loopclinic")

Heard = Callable[[asyncio.AbstractEventLoop], object]


class RunningLoops:
    """Call `began` and `ended` whenever a loop begins or ends to run, while the loop's own thread waits.

    The hook is `asyncio._set_running_loop`: the one function that every loop has to call as it begins
    and as it ends, or `get_running_loop` would not work under it. So it does not matter what made the
    loop (`asyncio.run`, `Runner`, a policy, a loop factory, a subclass, uvloop), in which thread it
    runs, or how often; a loop that is made and never run is not heard of; and it costs nothing while
    a loop turns. Wrapping `asyncio.run`, `new_event_loop` or `BaseEventLoop` would each miss some.

    One run may be told twice. What a callback raises is logged, and the loop runs on. In the main thread the
    callbacks are run beside it, `undisturbed`, by `caller()` for the loop's own.
    """

    def __init__(self, began: Heard, ended: Heard) -> None:
        self._began, self._ended = began, ended
        self._live = False
        self._undo: list[Callable[[], object]] = []

    def install(self) -> Self:
        """Begin to listen."""
        self._live = True
        before: Callable[[Any], None] = asyncio.events._set_running_loop  # noqa: SLF001

        def set_running_loop(loop: asyncio.AbstractEventLoop | None) -> None:
            last = asyncio._get_running_loop()  # noqa: SLF001
            before(loop)
            if not self._live or loop is last:
                return
            if last is not None:
                self._tell(self._ended, last)
            if loop is None:
                return
            try:
                self._tell(self._began, loop)
            except BaseException:  # a handler's; from 3.14 on asyncio leaves the loop as running
                getattr(loop, "_run_forever_cleanup", int)()
                raise

        for module in (asyncio.events, asyncio):
            self._replace(module, "_set_running_loop", set_running_loop)
        # Imported before us, uvloop has the function as it was; its loops run by this method.
        uvloop = sys.modules.get("uvloop")
        if uvloop is not None:
            self._replace(uvloop.Loop, "run_forever", self._around(uvloop.Loop.run_forever))
        return self

    def remove(self) -> None:
        """Leave asyncio as it was found; where somebody wrapped it after us, only pass on."""
        self._live = False
        while self._undo:
            self._undo.pop()()

    def __enter__(self) -> Self:
        return self.install()

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _replace(self, owner: Any, name: str, ours: Callable[..., Any]) -> None:
        inherited = name not in vars(owner)
        before = getattr(owner, name)
        setattr(owner, name, ours)

        def undo() -> None:
            if vars(owner).get(name) is not ours:
                return
            if inherited:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

        self._undo.append(undo)

    def _around(self, run_forever: Callable[[Any], None]) -> Callable[[Any], None]:
        def told(loop: asyncio.AbstractEventLoop) -> None:
            if self._live:
                self._tell(self._began, loop)
            try:
                run_forever(loop)
            finally:
                if self._live:
                    self._tell(self._ended, loop)

        return told

    @staticmethod
    def _tell(heard: Heard, loop: asyncio.AbstractEventLoop) -> None:
        error = undisturbed(partial(heard, loop))
        if error is not None:
            _log.error("loopclinic: a running loop could not be watched", exc_info=error)
