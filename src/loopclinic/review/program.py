"""A program in a process of its own, started as Python would start it, and watched."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from loopclinic.review import startup
from loopclinic.review.channel import messages
from loopclinic.review.parent_witness import ParentWitness

__all__ = ["Ending", "Target", "run"]

_PERIOD = 0.1  # seconds between two calls of `on_beat`
_KEYBOARD = ("SIGINT", "SIGQUIT", "SIGHUP")
_PASSED_ON = (*_KEYBOARD, "SIGTERM", "SIGUSR1", "SIGUSR2")
_CRASHES = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT")


@dataclass(frozen=True, slots=True)
class Target:
    """What to run: a file, folder or zip as `python TARGET` takes it, or a module as `python -m`."""

    name: str
    arguments: tuple[str, ...] = ()
    module: bool = False

    def __str__(self) -> str:
        return shlex.join([*(["-m"] if self.module else []), self.name, *self.arguments])

    @property
    def complaint(self) -> str | None:
        """One sentence on why it can't be run, or None. A module is left for Python to find."""
        if self.module or Path(self.name).exists():
            return None
        near = f"loopclinic run -m {self.name}"
        hint = f"to run a module, write {near}." if self.name.isidentifier() else "name a file."
        return f"there is no file {self.name!r} here: {hint}"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a program ended. `status` is below zero for the signal that ended it."""

    status: int
    orderly: bool
    """Python's own end was reached, so that nothing is missing from the report."""
    seconds: float
    """From before its Python started."""

    def __str__(self) -> str:
        if self.status >= 0 and self.orderly:
            return f"ended with status {self.status}"
        missing = "its last tenth of a second may be missing"
        if self.status >= 0:
            return f"was left by os._exit or exec with status {self.status}: {missing}"
        try:
            name = signal.Signals(-self.status).name
        except ValueError:
            name = f"signal {-self.status}"
        if name in _CRASHES:
            return f"crashed with {name}: {missing}"
        return f"was ended by {name}" + ("" if self.orderly else f": {missing}")


def run(
    target: Target,
    hear: Callable[[Mapping[str, Any]], object],
    *,
    threshold: float,
    witness: bool,
    on_beat: Callable[[], object] = lambda: None,
) -> Ending:
    """Run the program to its end; `hear` takes each message on a thread, `on_beat` is called here.

    With `witness` this process reads which call of the program keeps the GIL, where the kernel lets it
    read its child; a loop's report says why where not.

    Its standard streams, environment and working folder are this process's own. A signal that
    reaches this process is passed on, each once: at a terminal the program is in the same group and
    hears of the keyboard's by itself, elsewhere it has a group of its own. To be called on the main
    thread.

    Raises:
        OSError: this machine can't start a process.
    """
    reading, writing = os.pipe()
    ended = threading.Event()
    passed: list[int] = []
    process: subprocess.Popen[bytes] | None = None
    at_keyboard = _at_keyboard()

    def pass_on(number: int, _: object = None) -> None:
        if process is None:
            passed.append(number)
        elif not at_keyboard or signal.Signals(number).name not in _KEYBOARD:
            # poll() would reap it and its number could be another's; send_signal takes care.
            process.send_signal(number)

    beside = _beside(threshold, hear) if witness else None

    def listen() -> None:
        with os.fdopen(reading, "rb") as stream:
            for message in messages(stream):
                if message["kind"] == "witness":
                    if beside is not None:
                        beside.hear(message)
                    continue
                hear(message)
                ended.set() if message["kind"] == "end" else None

    began = perf_counter()
    with _signals(pass_on):
        try:
            process = _start(
                target, writing, threshold, beside, witness=witness, own_group=not at_keyboard
            )
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
            if beside is not None:
                beside.started()
        for number in passed:
            pass_on(number)
        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        while True:
            try:
                status = process.wait(_PERIOD)
            except subprocess.TimeoutExpired:
                on_beat()
            else:
                break
        # A process it left behind may hold the pipe open.
        listener.join(timeout=1)
        if beside is not None:
            beside.close()
        return Ending(status, ended.is_set(), perf_counter() - began)


def _beside(threshold: float, hear: Callable[[Mapping[str, Any]], object]) -> ParentWitness | None:
    """Return this process's end of the witness, None on a system that has no such means."""
    if sys.platform != "linux":
        return None
    try:
        return ParentWitness(threshold, hear)
    except OSError:
        return None


def _start(
    target: Target,
    channel: int,
    threshold: float,
    beside: ParentWitness | None,
    *,
    witness: bool,
    own_group: bool,
) -> subprocess.Popen[bytes]:
    options: dict[str, Any] = {}
    means = beside.means() if beside is not None else {}
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - only there

        channel = msvcrt.get_osfhandle(channel)
        os.set_handle_inheritable(channel, True)
        options["close_fds"] = False
    else:
        passed = (means["beats"], means["reports"]) if means else ()
        options["pass_fds"] = (channel, *passed)
        options["process_group"] = 0 if own_group else None
    path = os.environ.get("PYTHONPATH")
    settings = {
        "observer": "loopclinic.review.observer",
        "channel": channel,
        "threshold": threshold,
        "witness": means if witness else None,
        "path": path,
    }
    door = str(Path(startup.__file__).parent)
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([door, *([path] if path else [])]),
        "LOOPCLINIC_RUN": json.dumps(settings),
    }
    program = ["-m", target.name] if target.module else [target.name]
    command = [sys.executable, *_flags(), *program, *target.arguments]
    return subprocess.Popen(command, env=env, **options)


def _flags() -> list[str]:
    """Return this Python's own flags, without those that would keep it from being watched."""
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # noqa: SLF001 - as multiprocessing does
    return [flag for flag in flags if flag not in ("-E", "-I", "-S")]


def _at_keyboard() -> bool:
    """Whether this process is what the keyboard of a terminal speaks to."""
    if not hasattr(os, "tcgetpgrp"):
        return True  # Windows tells every process of the console
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            return os.tcgetpgrp(descriptor) == os.getpgrp()
    return False


@contextlib.contextmanager
def _signals(heard: Callable[[int, object], None]) -> Iterator[None]:
    """Let `heard` take the signals that are passed on; one that is ignored stays so, as for nohup."""
    numbers = [getattr(signal, name) for name in _PASSED_ON if hasattr(signal, name)]
    before = {
        number: signal.signal(number, heard)
        for number in numbers
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
