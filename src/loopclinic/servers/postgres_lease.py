"""A lease on the user's PostgreSQL: found, or started, and held until it is closed."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

from loopclinic.places import state_dir
from loopclinic.servers.postgres_folder import address
from loopclinic.servers.process import ServerError
from loopclinic.servers.twin import Twin

__all__ = ["LINGER", "Lease", "find_server", "state_folder"]

LINGER = 10.0
"""Seconds that the server stays after its last lease; `LOOPCLINIC_LINGER` sets another number."""

_ROOT = str(Path(__file__).resolve().parents[2])
# The process that stays is nobody's child: whoever kills or counts a kernel's or a check's children
# finds nothing of it.
_BOOT = """\
import os, sys
if hasattr(os, "fork") and os.fork():
    os._exit(0)
sys.path.append(sys.argv[1])
from loopclinic.servers.postgres_supervisor import main
main(sys.argv[2], float(sys.argv[3]))
"""
_GREETING = 2.0
_ANSWER = 60.0
_START = 120.0
_SILENT = 30.0
_DROPPED = ("PG", "LOOPCLINIC_TRIAL")


class Lease(Twin["Lease"]):
    """A lease on the server: `start()` and `close()`, or `with`, or their asynchronous twins; `label` says whose it is in `status`.

    With `hold=False` it is a mere connection, which doesn't keep the server, and `start()` doesn't
    start one. `where` tells where the server is, `notice` what happened to it, if anything did.
    """

    def __init__(self, label: str = "", *, hold: bool = True) -> None:
        self.label = label or Path(sys.argv[0] or "python").name
        self.where: dict[str, Any] = {}
        self.notice: str | None = None
        self._hold = hold
        self._connection: socket.socket | None = None
        self._lines: Any = None
        self._lock = threading.Lock()

    def start(self) -> Self:
        """Take the lease; starts the server where none runs.

        Raises:
            ServerError: it can't be started, or (with `hold=False`) none runs.
        """
        if self._connection is not None:
            return self
        try:
            folder = state_folder()
            if self._join(folder):
                return self
        except OSError as error:
            raise _unusable(error) from error
        if not self._hold:
            raise ServerError(
                "PostgreSQL is not running: loopclinic servers up starts it, and so does whoever uses it."
            )
        self._start(folder)
        return self

    def close(self) -> None:
        """Give the lease back. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            self._lines.close()
            connection.close()

    def dsn(self, database: str = "postgres") -> str:
        """Return the address of one database, for the role of lessons."""
        return address(self.where, database)

    def ask(self, request: str, **more: Any) -> Any:
        """Send a request to the supervisor and return its answer.

        Raises:
            ServerError: the supervisor is gone.
        """
        with self._lock:
            try:
                if self._connection is None:
                    raise BrokenPipeError("the lease is closed")
                self._connection.sendall(json.dumps({"do": request, **more}).encode() + b"\n")
                answer = json.loads(self._lines.readline())
            except (OSError, ValueError) as error:
                raise ServerError(
                    "PostgreSQL was ended (by loopclinic servers down, a kill or a shutdown): start "
                    "it again with the cell or command that started it.",
                    str(error),
                ) from error
        if "error" in answer:
            raise ServerError(answer["error"], answer["detail"])
        return answer["value"]

    def create(self, name: str) -> None:
        """Have a database made; it is dropped by `drop` or when the lease ends.

        Raises:
            ServerError: the server doesn't work, also after an attempt to mend it.
        """
        self.where, notice = self.ask("create", name=name)
        self._tell(notice)

    def drop(self, name: str) -> None:
        """Have a database of this lease dropped, whoever is still connected to it."""
        self.ask("drop", name=name)

    def given(self) -> Self:
        """Return what `with` binds: the lease itself."""
        return self

    def _join(self, folder: Path) -> bool:
        """Take a lease from the supervisor that the state file names; False if it doesn't answer."""
        state = _read(folder)
        if state is None:
            return False
        connection = None
        try:
            connection = socket.create_connection(("127.0.0.1", state["door"]), timeout=_GREETING)
            hello = {
                "token": state["token"],
                "pid": os.getpid(),
                "label": self.label,
                "lease": self._hold,
            }
            connection.sendall(json.dumps(hello).encode() + b"\n")
            lines = connection.makefile("rb")
            self.where = dict(json.loads(lines.readline()))
            connection.settimeout(_ANSWER)
        except (OSError, ValueError, KeyError, TypeError):
            if connection is not None:
                connection.close()
            return False  # stale: the supervisor is gone, and its port perhaps somebody else's
        self._connection, self._lines = connection, lines
        return True

    def _start(self, folder: Path) -> None:
        """Start a supervisor, unless one is just starting or ending."""
        from filelock import FileLock, Timeout  # noqa: PLC0415 - only where none runs yet

        starting, running = FileLock(folder / "starting.lock"), FileLock(folder / "running.lock")
        try:
            starting.acquire(timeout=_START)
        except Timeout:
            raise ServerError(
                f"Another process has been starting PostgreSQL for {_START:g} s: end the one that "
                f"holds {folder / 'starting.lock'}, then try again."
            ) from None
        except OSError as error:
            raise _unusable(error) from error
        silent_since = time.monotonic()
        try:
            while not self._join(folder):
                try:
                    running.acquire(timeout=0.05)
                except Timeout:
                    if time.monotonic() - silent_since > _SILENT:
                        _kill_silent(folder)
                        silent_since = time.monotonic()
                    continue
                running.release()
                report = _launch(folder)
                if "failed" in report:
                    raise ServerError(report["failed"], report["detail"])
                self._tell(report["notice"])
        finally:
            starting.release()

    def _tell(self, notice: str | None) -> None:
        if notice:
            self.notice = notice
            print(notice, file=sys.stderr)


def find_server(label: str = "") -> Lease | None:
    """Return a connection to the supervisor that doesn't hold it, or None where none runs."""
    try:
        return Lease(label, hold=False).start()
    except ServerError:
        return None


def state_folder() -> Path:
    """Return the folder of the server's state, made if missing; nobody else can read in it."""
    folder = state_dir() / "postgres"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder.resolve()


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        state = json.loads((folder / "state.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def _launch(folder: Path) -> dict[str, Any]:
    linger = os.environ.get("LOOPCLINIC_LINGER", "")
    try:
        seconds = float(linger) if linger else LINGER
    except ValueError:
        raise ServerError(
            f"LOOPCLINIC_LINGER is {linger}: set it to seconds, or unset it."
        ) from None
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_DROPPED)}
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
    with (folder / "supervisor.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT, _ROOT, str(folder), str(seconds)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder.anchor,
            env=kept,
            start_new_session=True,
            creationflags=flags,
        )
    assert process.stdout is not None
    with process.stdout:
        line = process.stdout.readline()  # it has its own limits, and its end ends this
    if os.name == "posix":
        process.wait()  # the one that stays is its child
    try:
        report: dict[str, Any] = json.loads(line)
    except ValueError:
        said = (folder / "supervisor.log").read_text("utf-8", "replace").strip()
        last = said.rpartition("\n")[2] or "it said nothing"
        return {
            "failed": f"The process that keeps PostgreSQL died while starting ({last}): see "
            f"{folder / 'supervisor.log'}.",
            "detail": said,
        }
    return report


def _unusable(error: OSError) -> ServerError:
    return ServerError(
        f"PostgreSQL's state folder can't be used ({error}): set LOOPCLINIC_HOME to a folder you may "
        "write to."
    )


def _kill_silent(folder: Path) -> None:
    """End a supervisor that holds its lock and doesn't answer: stopped, or starved."""
    import psutil  # noqa: PLC0415 - only in this rare case

    state = _read(folder) or {}
    with contextlib.suppress(psutil.Error, KeyError, TypeError):
        process = psutil.Process(state["pid"])
        if str(folder) in process.cmdline():
            process.kill()
