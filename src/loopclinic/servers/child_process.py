"""Starts a child process in a session of its own; it is killed with all that it started."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[2])
# A Jupyter interrupt goes to the whole process group: the child stands in a session of its own,
# is born with it blocked, and ignores it from its first line on.
_BOOT = """\
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
if hasattr(signal, "pthread_sigmask"):
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
sys.path.append(sys.argv[2])
from loopclinic.servers.lifeline import run
run(sys.argv[1])
"""


def spawn(module: str, label: str) -> "subprocess.Popen[bytes]":
    """Start a Python that runs `module.main(link)`; `label` is for whoever lists processes.

    Call it within `interrupts_held()`, which also covers what is done with it first.

    Raises:
        OSError: this machine can't start a process.
    """
    return subprocess.Popen(
        # -P: a random.py in the working directory must not stand in for the library's.
        [sys.executable, "-P", "-c", _BOOT, module, _ROOT, label],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a child and what it started; harmless where it has ended."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Put an interrupt off until the end; a process that starts meanwhile is born with it blocked.

    Without this, one that comes between the start of a process and its first mention here would
    leave that process to nobody.
    """
    with contextlib.ExitStack() as stack:
        main = threading.current_thread() is threading.main_thread()
        if main and (handler := signal.getsignal(signal.SIGINT)) is not None:
            held: list[int] = []
            signal.signal(signal.SIGINT, lambda number, _: held.append(number))

            def release() -> None:
                if held:
                    signal.raise_signal(signal.SIGINT)

            stack.callback(release)
            stack.callback(signal.signal, signal.SIGINT, handler)
        if hasattr(signal, "pthread_sigmask"):
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
        yield
