"""The server process of PostgreSQL on its data folder: start, tie to this process, stop, mend."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from pathlib import Path

import psutil

from loopclinic.servers.postgres_folder import DataFolder, environment
from loopclinic.servers.process import ServerError

__all__ = ["Cluster", "StartError"]

_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 3.0
_TRIES = 10
_LOG_LIMIT = 512 << 10
_REMADE = (
    "PostgreSQL's data folder was damaged and was made anew: databases of lessons that were open "
    "are gone, so run their notebooks from the top."
)


class StartError(ServerError):
    """The server did not come up; `port_taken` tells whether only its port was at fault."""

    port_taken = False


class Cluster:
    """The server on `data`; `log` keeps what it says, at most a megabyte with the file before.

    Not for two processes at once: whoever uses it holds the lock of the state folder.
    """

    def __init__(self, data: DataFolder, log: Path) -> None:
        self.data = data
        self.port = 0
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._last: deque[str] = deque(maxlen=20)

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The server's process, or None when it was not started or was stopped."""
        return self._process

    def start(self) -> str | None:
        """Start the server and return a sentence if its data folder had to be made anew.

        Raises:
            ServerError: it doesn't start on a fresh folder either.
        """
        _end_orphans(self.data.path)
        if not self.data.path.exists():
            self.data.make()
        elif self.data.is_whole:
            try:
                self._start_somewhere()
            except StartError as error:
                if error.port_taken:
                    raise
                return self.remake()
            return None
        else:
            return self.remake()
        self._start_somewhere()
        return None

    def remake(self) -> str:
        """Throw the data folder away, start on a fresh one, and return a sentence that says so."""
        self.stop()
        self.data.make()
        self._start_somewhere()
        return _REMADE

    def restart(self) -> str | None:
        """Start again after the server died, on the same port where possible; returns as `start`."""
        self.stop()
        return self.start()

    def stop(self) -> None:
        """End the server at once, rolling back what is open. Idempotent."""
        process, self._process = self._process, None
        lifeline, self._lifeline = self._lifeline, None
        if lifeline is not None and lifeline.stdin is not None:
            lifeline.kill()
            lifeline.wait()
            lifeline.stdin.close()
        if process is None:
            return
        if process.poll() is None:
            self._ask_to_end(process.pid)
            try:
                process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                _kill([psutil.Process(process.pid)])
                process.wait()
        if self._reader is not None:
            self._reader.join(1.0)

    def _start_somewhere(self) -> None:
        """Start on the port it had, or on a free one: between finding and binding it is a race."""
        self.data.configure()
        for remaining in reversed(range(_TRIES)):
            self.port = self.port or _free_port()
            try:
                self._start()
            except StartError as error:
                if not error.port_taken or not remaining:
                    raise
                self.port = 0
            else:
                return

    def _start(self) -> None:
        binaries, folder = self.data.binaries, self.data.path
        self._last.clear()
        try:
            self._process = process = subprocess.Popen(
                [
                    *binaries.account.prefix,
                    binaries.program("postgres"),
                    *("-D", str(folder), "-p", str(self.port)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment(),
                cwd=folder.anchor,
                start_new_session=True,
                **binaries.account.options,
            )
        except OSError as error:
            raise StartError(f"PostgreSQL does not start: {error}.") from error
        self._reader = threading.Thread(target=self._keep_log, args=(process,), daemon=True)
        self._reader.start()
        self._lifeline = _tie(process.pid)
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline and process.poll() is None:
            if self._is_ready(process.pid):
                return
            time.sleep(0.01)
        self.stop()
        said = "\n".join(self._last)
        last = next((one for one in reversed(self._last) if "FATAL" in one), said[-300:])
        failure = StartError(f"PostgreSQL does not start: {last} (its log: {self._log}).", said)
        # Its messages are in English: it runs in the C locale.
        failure.port_taken = "could not create any TCP/IP sockets" in said
        raise failure

    def _is_ready(self, pid: int) -> bool:
        """Read postmaster.pid as pg_ctl does: its eighth line is the server's status."""
        try:
            lines = (self.data.path / "postmaster.pid").read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return False
        return lines[:1] == [str(pid)] and "".join(lines[7:8]).strip() == "ready"

    def _keep_log(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for raw in process.stdout:
                line = raw.decode("utf-8", "replace").rstrip()
                self._last.append(line)
                # A full disk must not stop the reading: the server would wait for it.
                with contextlib.suppress(OSError):
                    if self._log.exists() and self._log.stat().st_size > _LOG_LIMIT:
                        self._log.replace(self._log.with_suffix(".log.1"))
                    with self._log.open("a", encoding="utf-8") as log:
                        log.write(line + "\n")

    def _ask_to_end(self, pid: int) -> None:
        if os.name == "nt":
            stop = ["stop", "-D", str(self.data.path), "-m", "fast"]
            subprocess.run(
                [self.data.binaries.program("pg_ctl"), *stop], check=False, capture_output=True
            )
        else:
            os.kill(pid, signal.SIGINT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tie(pid: int) -> subprocess.Popen[bytes] | None:
    """Tie the server to this process: when our end of a pipe closes, a shell ends the server."""
    if os.name != "posix":
        return None
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; kill -INT "$0" 2>/dev/null', str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def _end_orphans(folder: Path) -> None:
    """End what a killed supervisor or server left on the folder, and take the lock file away.

    PostgreSQL itself only asks whether the number in that file is in use, perhaps by a stranger,
    and refuses to start while a process of the server before still runs.
    """
    lock = folder / "postmaster.pid"
    if not lock.exists():
        return
    left = [one for one in psutil.process_iter(["name"]) if _works_in(one, folder)]
    for one in left:
        with contextlib.suppress(psutil.Error):
            one.send_signal(signal.SIGINT)
    _, stubborn = psutil.wait_procs(left, timeout=_STOP_TIMEOUT if left else 0)
    _kill(stubborn)
    lock.unlink(missing_ok=True)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        name = process.info["name"] or ""
        return name.startswith("postgres") and Path(process.cwd()) == folder.resolve()
    except (psutil.Error, OSError):
        return False


def _kill(processes: list[psutil.Process]) -> None:
    family = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            family += process.children(recursive=True)
    for process in family:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(family, timeout=2)
