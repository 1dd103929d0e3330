"""Starts a server in a Python process of its own, which ends with the process that started it."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from pathlib import Path
from typing import Any, Self

from loopclinic.output_tail import Tail
from loopclinic.servers.sync_async import SyncAsync

_KILL_AFTER = 2.0
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


class ServerError(Exception):
    """A server process didn't start, died, or didn't answer; `detail` holds its last output."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class ServerProcess(SyncAsync[Any]):
    """Runs `module.main(link)` in a child process; see `loopclinic.servers.lifeline`.

    `spec` is a JSON value handed to the child. Usable with `with` and with `async with`; `address`
    is what the child reported when it was ready. `start_timeout` is in seconds.
    """

    module: str

    def __init__(
        self, module: str, spec: Any = None, *, label: str = "", start_timeout: float = 20.0
    ) -> None:
        self.module = module
        self.spec = spec
        self.label = label or module.rpartition(".")[2]
        self.start_timeout = start_timeout
        self.address: Any = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: Future[Any] = Future()
        self._pending: dict[int, Future[Any]] = {}
        self._ids = itertools.count()
        self._lock = threading.Lock()
        self._dead: ServerError | None = None
        self._tail: Tail | None = None
        self._reader: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, or None before it starts and after it is closed."""
        return self._process.pid if self._process else None

    @property
    def output(self) -> str:
        """The last 16 kB that the child printed."""
        return self._tail.text if self._tail is not None else ""

    @property
    def printed(self) -> int:
        """How many bytes the child has printed so far; the last of them are `output`."""
        return self._tail.size if self._tail is not None else 0

    def start(self) -> Self:
        """Start the child and wait until it is ready; ServerError if it isn't within `start_timeout` seconds."""
        try:
            self.launch()
            self.address = self._wait(self._ready, self.start_timeout, "was not ready")
        except BaseException:
            self.close()
            raise
        return self

    def call(self, message: Any, *, timeout: float = 10.0) -> Any:
        """Send a JSON value to the child's `answer` and return its reply.

        ServerError if the call raised there, the child died, or `timeout` seconds passed.
        """
        return self._wait(self.submit(message), timeout, "did not answer")

    async def call_async(self, message: Any, *, timeout: float = 10.0) -> Any:  # noqa: ASYNC109 - as in `call`
        """Do as `call` does, without blocking the loop and without a thread of the executor."""
        return await self._wait_async(self.submit(message), timeout, "did not answer")

    def submit(self, message: Any) -> "Future[Any]":
        """Send a JSON value to the child and return the future of its reply."""
        process = self._process
        future: Future[Any] = Future()
        number = next(self._ids)
        with self._lock:
            self._pending[number] = future
        try:
            if process is None or process.stdin is None:
                raise BrokenPipeError
            process.stdin.write(json.dumps({"id": number, "call": message}).encode() + b"\n")
            process.stdin.flush()
        except (OSError, ValueError):
            with self._lock:
                # It is about to end, or has: whoever reads its replies says why, and fails what waits.
                dying = process is not None and self._reader is not None
                death = self._dead if dying else self._death()
                if death is not None:
                    self._pending.pop(number, None)
            if death is not None and not future.done():
                future.set_exception(death)
        return future

    def close(self) -> None:
        """End the child: ask, and kill it and what it started after two seconds. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            if process.stdin is not None:
                with contextlib.suppress(OSError, ValueError):
                    process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_KILL_AFTER)
        finally:
            kill(process)
            process.wait()
            for thread in (self._tail, self._reader):
                if thread is not None:
                    thread.join(1.0)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    def given(self) -> Any:
        """Return itself; a server of one kind may give what it is used by."""
        return self

    def launch(self) -> Self:
        """Start the child and don't wait: `start()` waits. So several can start side by side."""
        if self._process is not None:
            return self
        self._ready, self._dead = Future(), None
        with interrupts_held():
            self._process = process = spawn(self.module, self.label)
            # Held until its threads run, too: close() after an interrupt waits for them.
            self._reader = None
            assert process.stderr is not None
            self._tail = Tail(process.stderr, name=f"{self.label}-output")
            read, name = partial(self._read, process, self._tail), f"{self.label}-reports"
            self._reader = threading.Thread(target=read, name=name, daemon=True)
            self._reader.start()
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it died at once: the wait for `ready` says so
            process.stdin.write(json.dumps(self.spec).encode() + b"\n")
            process.stdin.flush()
        return self

    def _read(self, process: subprocess.Popen[bytes], tail: Tail) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            message = json.loads(line)
            if "ready" in message:
                self._ready.set_result(message["ready"])
                continue
            if "failed" in message:
                if not self._ready.done():
                    self._ready.set_exception(ServerError(message["failed"], message["detail"]))
                continue
            with self._lock:
                future = self._pending.pop(message["id"], None)
            if future is None or future.cancelled():
                continue
            if "error" in message:
                future.set_exception(ServerError(message["error"], message["detail"]))
            else:
                future.set_result(message["value"])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
        tail.join(0.5)  # its last words
        death = self._death(process)
        with self._lock:
            self._dead = death
            waiting = [self._ready, *self._pending.values()]
            self._pending.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(death)

    def _death(self, process: subprocess.Popen[bytes] | None = None) -> ServerError:
        process = process or self._process
        status = process.poll() if process else None
        if status is not None and status < 0:
            how = f"was killed by signal {-status}"
        else:
            how = "is closed" if status is None else f"ended with exit status {status}"
        last = self.output.strip().rpartition("\n")[2]
        return ServerError(f"{self.label} {how}" + (f": {last}" if last else "."), self.output)

    def _wait(self, future: "Future[Any]", timeout: float, what: str) -> Any:
        try:
            return future.result(timeout)
        except FutureTimeoutError:
            raise self._late(timeout, what) from None

    async def _wait_async(self, future: "Future[Any]", timeout: float, what: str) -> Any:  # noqa: ASYNC109 - as in `call`
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise self._late(timeout, what) from None

    def _late(self, timeout: float, what: str) -> ServerError:
        return ServerError(f"{self.label} {what} within {timeout:g} s.", self.output)


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now; another program may take it before it is bound again."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def spawn(module: str, label: str) -> "subprocess.Popen[bytes]":
    """Start a Python that runs `module.main(link)`, or raise OSError; `label` is for whoever lists processes.

    Call it within `interrupts_held()`, which also covers what is done with it first.
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
