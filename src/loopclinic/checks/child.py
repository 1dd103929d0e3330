"""The process that runs a learner's lab: `python -m loopclinic.checks.child CHANNEL PACKAGE`.

It imports the lesson's package, reads its spec on stdin, imports a copy of the lab, runs the lesson's
check on it and reports on the channel. It never prints, and nothing the lab does to it reaches further than this process.
"""

import asyncio
import contextlib
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from loopclinic.checks.channel import REPORTED, Channel, ChildStage
from loopclinic.checks.leftovers import Origins, find_leftovers
from loopclinic.checks.loading import LabSource, Originals, broken_contract, line_that_replaces
from loopclinic.checks.lookout import Lookout
from loopclinic.lessons.rehearsed import check_module, check_of

_leave = os._exit
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, prctl(2)
_MESSAGE = 400


def main() -> None:
    """Read the spec, run the trial, report, and leave without the interpreter's farewell."""
    channel = Channel(int(sys.argv[1]))
    if hasattr(signal, "SIGUSR1"):
        # Answers the supervisor's "where are you?" without the GIL, also in the middle of a C call.
        faulthandler.register(signal.SIGUSR1, file=channel.fd, all_threads=True, chain=False)
    faulthandler.enable(file=channel.fd)
    # Everything of the kit's is imported before the lab is, so that a lab can't replace it; and now,
    # while the services come up. What fails here fails again where it can be told.
    with contextlib.suppress(Exception):
        importlib.import_module(check_module(sys.argv[2]))
        importlib.import_module("loopclinic.lessons.core.stage")
        importlib.import_module("psutil")
    spec = json.loads(sys.stdin.buffer.readline())
    channel.open(spec["mark"])
    _hold_lifeline()
    _limit(spec)
    channel.send("hello", main=threading.main_thread().ident)
    try:
        _Trial(channel, spec).run()
    except BaseException as error:
        trace = "".join(traceback.format_exception(error))[-4000:]
        channel.send("end", how="kit", message=_short(error), trace=trace)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    _leave(0)


def _hold_lifeline() -> None:
    # stdin stays open as long as the supervisor lives; the lab reads from nowhere.
    lifeline = os.dup(0)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the process' life

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
    import resource  # noqa: PLC0415 - not on Windows

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
    def __init__(self, channel: Channel, spec: dict[str, Any]) -> None:
        self.channel = channel
        self.spec = spec
        self.lab = LabSource(Path(spec["copy"]), Path(spec["shown"]), spec["entry"])
        self.step = "importing the file"
        self.lookout = Lookout(channel, self.lab, spec["seconds"])
        self.origins = Origins(self.lab)
        self.loop_errors: list[dict[str, Any]] = []
        self.stdout = os.fstat(1).st_ino if _open(1) else None

    def run(self) -> None:
        """Import the lab, compare it with the contract, run the check; report how it ended."""
        spec = self.spec
        check = check_of(spec["package"])
        self.origins.install()
        originals = Originals()
        self.lookout.start()
        kit_threads = set(threading.enumerate())
        copy = Path(spec["copy"])
        sys.path.append(str(copy if copy.is_dir() else copy.parent))
        self.channel.send("ready")
        self.lookout.begin()
        try:
            module = self.lab.load(spec["name"])
        except BaseException as error:
            self._end_by(error, phase="import")
            return

        @cache
        def antipattern() -> ModuleType:
            shipped = Path(spec["shipped"])
            return LabSource(shipped, shipped, spec["shipped_entry"]).load("lab_as_shipped")

        broken = broken_contract(module, antipattern(), tuple(spec["public"]))
        if broken is not None:
            self.channel.send("end", how="contract", broken=broken.to_dict())
            return
        if self._replaced(originals):
            return
        stage = _Stage(
            self,
            self.channel,
            spec["seed"],
            Path.cwd(),
            spec["services"],
            antipattern,
        )
        try:
            factory = None if sys.platform == "win32" else asyncio.SelectorEventLoop
            # loopclinic: ignore[loop-per-call] the only one of this process
            runner = asyncio.Runner(loop_factory=factory)
            loop = runner.get_loop()
            loop.set_exception_handler(self._loop_error)
            self.lookout.attach(loop)
            found = runner.run(self._play(check.play, module, stage, kit_threads))
        except BaseException as error:
            # What a lab replaces may break asyncio itself: on 3.14 a loop that nests loses its place.
            if self.lab.place_of_error(error) is not None or not self._replaced(originals):
                self._end_by(error, phase="rehearsal")
            return
        if self._replaced(originals):
            return
        self.channel.send("fact", name="leftovers", value=found)
        self.channel.send("fact", name="loop_errors", value=self.loop_errors)
        self.channel.send("fact", name="belongings", value=self._belongings())
        self.channel.send("end", how="done")

    async def _play(
        self,
        play: Callable[[ModuleType, Any], Awaitable[None]],
        module: ModuleType,
        stage: "_Stage",
        kit_threads: set[threading.Thread],
    ) -> dict[str, Any]:
        await play(module, stage)
        self.step = "looking for leftovers"
        found = await find_leftovers(self.lab, self.origins, kit_threads)
        gc.collect()  # what is lost in a cycle is reported as unclosed or unretrieved only now
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
            self.channel.send("end", how="replaced", names=names[:5], line=line)
        return bool(names)

    def _belongings(self) -> dict[str, Any]:
        stdout_open = not getattr(sys.stdout, "closed", True) and (
            _open(1) and os.fstat(1).st_ino == self.stdout
        )
        return {
            "stdout_open": stdout_open,
            "file_kept": self.lab.copy.exists(),
            "removed_at": self.origins.removed,
        }

    def _end_by(self, error: BaseException, *, phase: str) -> None:
        self.lookout.stop()
        place = self.lab.place_of_error(error)
        if isinstance(error, SyntaxError) and self.lab.owns(error.filename or ""):
            self.channel.send(
                "end",
                how="syntax",
                file=self.lab.shown_name(error.filename or ""),
                message=error.msg,
                line=error.lineno,
                offset=error.offset,
                text=(error.text or "").rstrip("\n")[:_MESSAGE],
            )
            return
        code = error.code if isinstance(error, SystemExit) else None
        self.channel.send(
            "end",
            how="exit" if isinstance(error, SystemExit) else "raised",
            phase=phase,
            step=self.step,
            type=type(error).__name__,
            message=_short(error),
            code=code if isinstance(code, int) or code is None else _short(error),
            place=place,
            raised_in=_raised_in(error, self.spec["package"]),
            trace="".join(traceback.format_exception(error))[-4000:],
        )


class _Stage(ChildStage):
    def __init__(self, trial: _Trial, *args: Any) -> None:
        super().__init__(*args)
        self._trial = trial

    def step(self, name: str) -> None:
        self._trial.step = name
        super().step(name)


def _raised_in(error: BaseException, package: str) -> str:
    """Say whose code raised: `lesson` for the module that drives the lab, else `kit`.

    That module handles what a lab returned; the rest of the kit does not see the lab's values.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    kit = str(Path(__file__).parents[1])
    driving = getattr(sys.modules.get(check_module(package)), "__file__", None)
    for frame in reversed(frames):
        name = frame.f_code.co_filename
        if name == driving:
            return "lesson"
        if name.startswith(kit):
            return "kit"
    return "kit"


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
