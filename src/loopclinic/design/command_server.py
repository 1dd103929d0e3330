"""Process that runs a command under comparison: starts it, waits until it listens, ends it.

The command is in the group of this process, so that it ends with it, however that ends.
"""

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from loopclinic.runner import startup
from loopclinic.servers.lifeline import ParentLink
from loopclinic.servers.server_process import free_port

_HOST = "127.0.0.1"
_ANSWERS = 8.0
_PERIOD = 0.02
_FAREWELL = 0.8
_NO_LOOP = (
    "not watched: no event loop ran in the process that was started, and the processes which that "
    "starts, workers and reloaders, are not looked into"
)
_UNWATCHED: dict[str, Any] = {
    "lag": dict.fromkeys(("p50", "p95", "p99", "max")),
    "utilization": None,
    "tasks": 0,
    "threads": 0,
    "stalls": [],
    "lag_series": [],
    "first_errors": {},
}


class Command:
    """The command, and the word it sends of its loops."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.port = free_port()
        self.patience = float(spec["patience"])
        self.words = [word.replace("{port}", str(self.port)) for word in spec["words"]]
        self._replies: Any = None
        self._channel: socket.socket | None = None
        self.python = ""
        self.blind = "it is no Python program, or one that leaves PYTHONPATH alone"
        environ = spec["environ"]
        options: dict[str, Any] = {}
        theirs: socket.socket | None = None
        if os.name == "posix":
            self._channel, theirs = socket.socketpair()
            self._replies = self._channel.makefile("rb")
            environ = _watched(environ, theirs.fileno())
            options["pass_fds"] = (theirs.fileno(),)
        try:
            self.process = subprocess.Popen(
                self.words, cwd=spec["folder"], env=environ, stdin=subprocess.DEVNULL, **options
            )
        finally:
            if theirs is not None:
                theirs.close()

    def wait_until_it_listens(self) -> str | None:
        """Return None once it listens, or the sentence on why it never will."""
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            status = self.process.poll()
            if status is not None:
                return f"it ended with status {status} before it listened on port {self.port}."
            with contextlib.suppress(OSError), socket.create_connection((_HOST, self.port), 1.0):
                self._read_hello()
                return None
            time.sleep(_PERIOD)
        return (
            f"it did not listen on {_HOST}, port {self.port}, within {self.patience:g} s: hand {{port}} "
            "on to what serves, and let it listen on 127.0.0.1."
        )

    def _read_hello(self) -> None:
        # A Python says hello before its first line, so long before it listens.
        if self._channel is None:
            self.blind = "commands are watched on POSIX only"
            return
        self._channel.settimeout(0.3)
        with contextlib.suppress(OSError, ValueError):
            hello = json.loads(self._replies.readline() or b"{}")
            self.python = hello.get("python", "")
            self.blind = hello.get("reason", "" if self.python else self.blind)
        self._channel.settimeout(_ANSWERS)

    def ask(self, word: str) -> Any:
        """Send a command to the observer in the program, and return its answer."""
        if self.blind or self._channel is None:
            return {**_UNWATCHED, "notes": [f"not watched: {self.blind}"]}
        try:
            self._channel.sendall(word.encode() + b"\n")
            line = self._replies.readline()
        except TimeoutError:
            why = "so a call keeps the GIL"
            raise RuntimeError(f"its probe did not answer within {_ANSWERS:g} s, {why}") from None
        except OSError:
            line = b""
        if not line:  # it replaced itself by another program, or is about to end
            with contextlib.suppress(psutil.NoSuchProcess):
                if psutil.Process(self.process.pid).status() != psutil.STATUS_ZOMBIE:
                    return {**_UNWATCHED, "notes": ["not watched: its probe's messages broke off"]}
            threading.Event().wait()  # its last threads may take a while; then `main` says how it ended
        if word == "end" and line.strip() == b"{}":
            return {**_UNWATCHED, "notes": [_NO_LOOP]}
        return json.loads(line)

    def end(self) -> None:
        """Terminate the program and wait a little: what is left is killed with the group."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_FAREWELL)


def _watched(environ: dict[str, str], channel: int) -> dict[str, str]:
    path = environ.get("PYTHONPATH")
    settings = {"observer": "loopclinic.design.loop_gauges", "channel": channel, "path": path}
    folder = str(Path(startup.__file__).parent)
    return {
        **environ,
        "PYTHONPATH": os.pathsep.join([folder, *([path] if path else [])]),
        "LOOPCLINIC_RUN": json.dumps(settings),
    }


def main(link: ParentLink) -> None:
    """Run the command until the parent is gone or the command is."""
    try:
        command = Command(link.spec)
    except OSError as error:
        word = link.spec["words"][0]
        link.failed(f"{word!r} can't be started ({error.strerror}): name a program on PATH.")
        os._exit(1)
    link.listen(command.ask, on_end=command.end)
    failed = command.wait_until_it_listens()
    if failed is not None:
        link.failed(failed)
        command.end()
        os._exit(1)
    served = f"command, CPython {command.python}" if command.python else "command"
    link.ready({"port": command.port, "served": served})
    status = command.process.wait()
    # As a shell would say it; the parent ends what is left of the group.
    os._exit(status if status >= 0 else 128 - status)
