"""Starts a program in a process of its own, as Python would start it, with an observer inside."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from loopclinic.runner.parent_witness import ParentWitness
from loopclinic.runner.signals import Signals
from loopclinic.runner.socket_channel import Listener, identity
from loopclinic.runner.unwatched_children import STARTUP, Unwatched

_PERIOD = 0.1  # seconds between two calls of `on_beat`
_CRASHES = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT")
_STOPS = ("SIGTSTP", "SIGTTIN", "SIGTTOU")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


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


@dataclass(frozen=True, slots=True)
class Detached(Ending):
    """The end of watching from outside; the status of the process is not known."""

    gone: bool = False
    """The process has ended."""

    def __str__(self) -> str:
        return "ended while it was watched" if self.gone else "was watched, and goes on"


def run(
    target: Target,
    hear: Callable[[Mapping[str, Any]], object],
    *,
    threshold: float,
    witness: bool,
    children: bool = True,
    timeline: bool = False,
    on_beat: Callable[[], object] = lambda: None,
) -> Ending:
    """Run the program to its end; `hear` gets each message on a thread, `on_beat` is called here.

    With `witness` this process reads which call of the program holds the GIL, where the kernel lets it
    read its child; a loop's report says why where not. With `children` the Pythons that the program
    starts are watched, too: their environment holds `LOOPCLINIC_RUN` and a longer `PYTHONPATH`. With
    `timeline` each loop's tasks are recorded, too.

    The program's standard streams and working folder are this process's own, a closed stream included.
    Every signal that a program can handle is passed on, once: at a terminal the program is in the same
    group and gets the keyboard's by itself, elsewhere it has a group of its own. On Linux it is killed
    with this process. To be called on the main thread.

    Raises:
        OSError: this machine can't start a process.
    """
    born = perf_counter()
    closed = [number for number in (0, 1, 2) if identity(number) is None]
    for _ in closed:  # or a socket of ours would get the number
        os.open(os.devnull, os.O_RDWR)
    ended = threading.Event()
    witnesses: dict[int, ParentWitness] = {}

    def told(message: Mapping[str, Any], descriptors: list[int]) -> None:
        number = message["process"]
        if message["kind"] == "witness":
            with contextlib.suppress(OSError, ValueError, KeyError):  # it has no witness then
                if descriptors:
                    witnesses[number] = ParentWitness(
                        threshold, lambda held: hear({**held, "process": number}), *descriptors
                    )
                witnesses[number].record(message)
            return
        if message["kind"] == "gone" and number in witnesses:
            witnesses.pop(number).close()
        if number == 1 and message["kind"] == "end":  # the program connects first
            ended.set()
        hear(message)

    listener = Listener(told)
    at_keyboard = _at_keyboard()
    try:
        with Signals() as signals:
            settings = {
                "observer": "loopclinic.runner.observer",
                "channel": listener.key,
                "threshold": threshold,
                "born": born,
                "children": children,
                "witness": witness,
                "timeline": timeline,
                "path": os.environ.get("PYTHONPATH"),
            }
            process = _start(target, settings, signals, closed, own_group=not at_keyboard)
            listener.start()
            unwatched = Unwatched(process.pid) if children else None
            stopping = at_keyboard
            while process.poll() is None:
                on_beat()
                if unwatched is not None:
                    unwatched.look()
                received = signals.wait(_PERIOD)
                if received is not None and not (at_keyboard and received.to_the_group):
                    # send_signal() takes care that the number is still this process's.
                    process.send_signal(received.number)
                    stopping = stopping or received.name in _STOPS
                if stopping:
                    _stop_alike(process)
    finally:
        listener.close()
        for one in witnesses.values():
            one.close()
        for number in closed:
            os.close(number)
    for message in unwatched.messages() if unwatched is not None else ():
        hear(message)
    assert process.returncode is not None
    return Ending(process.returncode, ended.is_set(), perf_counter() - born)


def _start(
    target: Target,
    settings: dict[str, Any],
    signals: Signals,
    closed: list[int],
    *,
    own_group: bool,
) -> subprocess.Popen[bytes]:
    options: dict[str, Any] = {}
    if sys.platform != "win32":
        options["process_group"] = 0 if own_group else None
        die_with_us = _die_with_parent()

        def before_exec() -> None:
            for number in closed:
                os.close(number)
            die_with_us()
            signals.restore()

        options["preexec_fn"] = before_exec
    path = settings["path"]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([STARTUP, *([path] if path else [])]),
        "LOOPCLINIC_RUN": json.dumps(settings),
    }
    program = ["-m", target.name] if target.module else [target.name]
    command = [sys.executable, *_flags(), *program, *target.arguments]
    return subprocess.Popen(command, env=env, **options)


def _die_with_parent() -> Callable[[], object]:
    """Return what a forked child calls to be killed with its parent; on other systems it does nothing."""
    if sys.platform != "linux":
        return lambda: None
    try:
        import ctypes  # some Pythons have none

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return lambda: None
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _stop_alike(process: subprocess.Popen[bytes]) -> None:
    """Stop this process where a terminal's signal, or one that was passed on, stopped the program."""
    if not hasattr(os, "waitid"):
        return
    with contextlib.suppress(ChildProcessError):
        seen = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG)
        if seen is not None and signal.Signals(seen.si_status).name in _STOPS:
            os.kill(os.getpid(), signal.SIGSTOP)


def _flags() -> list[str]:
    """Return this Python's own flags, without those that would keep it from being watched."""
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # noqa: SLF001 - as multiprocessing does
    return [flag for flag in flags if flag not in ("-E", "-I", "-S")]


def _at_keyboard() -> bool:
    """Return whether this process is what the keyboard of a terminal speaks to."""
    if not hasattr(os, "tcgetpgrp"):
        return True  # Windows tells every process of the console
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            return os.tcgetpgrp(descriptor) == os.getpgrp()
    return False
