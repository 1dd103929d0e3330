"""Child process of a check: imports the lab, plays the lesson's scenes, reports to the supervisor.

It imports the lesson's package, reads its spec on stdin, imports a copy of the lab, runs the lesson's
check on it and reports on the channel. It never prints, and nothing the lab does to it reaches further than this process.
"""

import asyncio
import contextlib
import ctypes
import faulthandler
import importlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from loopclinic.checks.child_messages import REPORTED, Channel, StuckReporter
from loopclinic.checks.leftovers import Origins, find_leftovers
from loopclinic.checks.loading import LabSource, Originals, broken_contract, line_that_replaces
from loopclinic.checks.never_awaited import NeverAwaited
from loopclinic.lessons.core.exits_and_stdin import no_keyboard, note_exits
from loopclinic.lessons.core.scene import Check, check_of
from loopclinic.lessons.schedules.virtual_time import VirtualLoop, virtual_clocks
from loopclinic.probe import garbage

_leave = os._exit
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, prctl(2)
_MESSAGE = 400


def main() -> None:
    """Read the spec, run the trial, report, and exit without the interpreter's shutdown."""
    channel = Channel(int(sys.argv[1]))
    if hasattr(signal, "SIGUSR1"):
        # Answers the supervisor's "where are you?" without the GIL, also in the middle of a C call.
        faulthandler.register(signal.SIGUSR1, file=channel.fd, all_threads=True, chain=False)
    faulthandler.enable(file=channel.fd)
    # Everything of the kit's is imported before the lab is, so that a lab can't replace it; and now,
    # while the services come up. What fails here fails again where it can be told.
    with contextlib.suppress(Exception):
        check_of(sys.argv[2])
        importlib.import_module("loopclinic.lessons.core.stage")
        importlib.import_module("psutil")
    spec = json.loads(sys.stdin.buffer.readline())
    channel.open(spec["mark"])
    _hold_lifeline()
    _limit(spec)
    # Processes that a lab starts would import this program first, as the main module.
    vars(sys.modules["__main__"]).update(__spec__=None, __file__=None)
    channel.send("hello", main=threading.main_thread().ident)
    try:
        _Trial(channel, spec).run()
    except BaseException as error:
        channel.send("end", how="kit", message=_short(error), trace=_trace(error))
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    _leave(0)


def _hold_lifeline() -> None:
    # stdin stays open as long as the supervisor lives; what the lab starts reads from nowhere.
    lifeline = os.dup(0)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(lifeline, 1024):
                pass
        if hasattr(os, "killpg"):
            os.killpg(os.getpgrp(), signal.SIGKILL)
        _leave(1)

    threading.Thread(target=wait, name="loopclinic-lifeline", daemon=True).start()


def _limit(spec: dict[str, Any]) -> None:
    if sys.platform == "win32":
        return
    import resource  # not on Windows

    for kind, value in (
        (resource.RLIMIT_NOFILE, spec["open_files"]),
        (resource.RLIMIT_FSIZE, spec["file_size"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, spec["cpu_seconds"]),
    ):
        _, hard = resource.getrlimit(kind)
        soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (soft, hard))
    if sys.platform == "linux":
        # Detached grandchildren stay below this process, where they are seen and ended.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


class _Trial:
    """One trial of a lab, and what its scenes report by: see `Line` in `lessons/core/stage.py`."""

    def __init__(self, channel: Channel, spec: dict[str, Any]) -> None:
        self.channel, self.spec = channel, spec
        self.seed, self.services, self.folder = spec["seed"], spec["services"], Path.cwd()
        self.rng = Random(self.seed)  # noqa: S311 - replayable chance is the point
        self.lab = LabSource(Path(spec["copy"]), Path(spec["shown"]), spec["entry"])
        self.doing = "importing the file"
        self.origins, self.never_awaited = Origins(self.lab), NeverAwaited(self.lab)
        self.stuck_reporter = StuckReporter(
            channel, self.lab, spec["seconds"], self._tell_never_awaited
        )
        self.loop_errors: list[dict[str, Any]] = []
        self.stdout = os.fstat(1).st_ino if _open(1) else None
        no_keyboard(self._end_by_keyboard)

    def step(self, name: str) -> None:
        """Say what is tried now."""
        self.doing = name
        self.channel.send("step", name=name)

    def fact(self, name: str, value: Any) -> None:
        """Report one finding, a JSON value."""
        try:
            self.channel.send("fact", name=name, value=value)
        except TypeError as error:
            raise TypeError(f"fact {name!r} must be a JSON value: {error}") from error

    def _tell_never_awaited(self) -> None:
        if (news := self.never_awaited.news()) is not None:
            self.fact("never_awaited", news)

    def _end(self, how: str, **values: Any) -> None:
        self._tell_never_awaited()
        self.channel.send("end", how=how, **values)

    def run(self) -> None:
        """Import the lab, compare it with the contract, run the check; report how it ended."""
        check = check_of(self.spec["package"])
        if not check.virtual:
            self._run(check, None if sys.platform == "win32" else asyncio.SelectorEventLoop)
            return
        loop = VirtualLoop()
        with virtual_clocks(loop):
            self._run(check, lambda: loop)

    def _run(self, check: Check, factory: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
        spec = self.spec
        self.origins.install()
        self.never_awaited.install()
        originals = Originals()
        self.stuck_reporter.start()
        note_exits(lambda frame: self.channel.send("leaves", place=self.lab.place_of_frame(frame)))
        kit_threads = set(threading.enumerate())
        copy = Path(spec["copy"])
        sys.path.append(str(copy if copy.is_dir() else copy.parent))
        self.channel.send("ready", virtual=check.virtual)
        self.stuck_reporter.begin()
        try:
            module = self.lab.load(spec["name"])
        except BaseException as error:
            self._end_by(error, phase="import")
            return
        if "anyio" in sys.modules:
            # It imports this at its first call, for a tenth of a second: no lab is charged with a stall.
            importlib.import_module("anyio._backends._asyncio")
        shipped = Path(spec["shipped"])
        source = LabSource(shipped, shipped, spec["shipped_entry"])
        self.antipattern = source.load("lab_as_shipped")
        broken = broken_contract(module, self.antipattern, tuple(spec["public"]))
        if broken is not None:
            self._end("contract", broken=asdict(broken))
            return
        if self._replaced(originals):
            return
        try:
            # loopclinic: ignore[loop-per-call] the only one of this process
            runner = asyncio.Runner(loop_factory=factory)
            loop = runner.get_loop()
            loop.set_exception_handler(self._loop_error)
            self.stuck_reporter.attach(loop)
            found = runner.run(self._play(check, module, kit_threads))
        except BaseException as error:
            # What a lab replaces may break asyncio itself: on 3.14 a loop that nests loses its place.
            if self.lab.place_of_error(error) is not None or not self._replaced(originals):
                self._end_by(error, phase="check")
            return
        if self._replaced(originals):
            return
        self.fact("leftovers", found)
        self.fact("loop_errors", self.loop_errors)
        self.fact("belongings", self._belongings())
        self._end("done")

    async def _play(
        self, check: Check, module: ModuleType, kit_threads: set[threading.Thread]
    ) -> dict[str, Any]:
        await check.play(module, self)
        self.doing = "looking for leftovers"
        found = await find_leftovers(self.lab, self.origins, kit_threads)
        garbage.collect()  # what is lost in a cycle is reported as unclosed or unretrieved only now
        return found

    def _loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        if len(self.loop_errors) < REPORTED:
            error = context.get("exception")
            text = context.get("message", "")
            if error is not None:
                text += f": {type(error).__name__}: {_short(error)}".partition("\n")[0]
            place = self.lab.place_of_error(error) if error else None
            self.loop_errors.append({"text": text[:_MESSAGE], "place": place})

    def _replaced(self, originals: Originals) -> bool:
        names = originals.replaced()
        if names:
            line = line_that_replaces(self.lab.text, names[0])
            self._end("replaced", names=names[:5], line=line)
        return bool(names)

    def _belongings(self) -> dict[str, Any]:
        stdout_open = not getattr(sys.stdout, "closed", True) and (
            _open(1) and os.fstat(1).st_ino == self.stdout
        )
        kept = self.lab.copy.exists()
        return {"stdout_open": stdout_open, "file_kept": kept, "removed_at": self.origins.removed}

    def _end_by_keyboard(self) -> None:
        place = self.lab.place_of_frame(sys._getframe(1))  # noqa: SLF001 - documented
        on_loop = asyncio._get_running_loop() is not None  # noqa: SLF001 - documented
        self._end("keyboard", place=place, on_loop=on_loop)
        _leave(0)

    def _end_by(self, error: BaseException, *, phase: str) -> None:
        self.stuck_reporter.stop()
        place = self.lab.place_of_error(error)
        if isinstance(error, SyntaxError) and self.lab.owns(error.filename or ""):
            self._end(
                "syntax",
                file=self.lab.shown_name(error.filename or ""),
                message=error.msg,
                line=error.lineno,
                offset=error.offset,
                text=(error.text or "").rstrip("\n")[:_MESSAGE],
            )
            return
        how, code = "raised", None
        if isinstance(error, SystemExit):
            how, code = "exit", error.code
        self._end(
            how,
            phase=phase,
            step=self.doing,
            type=type(error).__name__,
            message=_short(error),
            code=code if isinstance(code, int) or code is None else _short(error),
            place=place,
            trace=_trace(error),
        )


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-4000:]


def _open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _short(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = "(its message can't be read)"
    return text[:_MESSAGE]


if __name__ == "__main__":
    main()
