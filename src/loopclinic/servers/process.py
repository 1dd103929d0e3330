"""A server in a Python process of its own, that ends with the process that started it."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any, Self

from loopclinic.servers.twin import Twin

__all__ = ["ServerError", "ServerProcess"]

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
_KILL_AFTER = 2.0
_OUTPUT_KEPT = 16_384


class ServerError(Exception):
    """A server process didn't start, died, or didn't answer; `detail` holds its last output."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class ServerProcess(Twin["ServerProcess"]):
    """Runs `module.main(link)` in a child process; see `loopclinic.servers.lifeline`.

    `spec` is a JSON value handed to the child. Usable with `with` and with `async with`; `address`
    is what the child reported when it was ready. `start_timeout` is in seconds.
    """

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
        self.printed = 0
        """How many bytes it has printed so far; the last of them are `output`."""
        self._output: deque[bytes] = deque()
        self._threads: list[threading.Thread] = []

    @property
    def pid(self) -> int | None:
        """The child's process id, or None before it starts and after it is closed."""
        return self._process.pid if self._process else None

    @property
    def output(self) -> str:
        """The last 16 kB that the child printed."""
        with self._lock:
            return b"".join(self._output).decode(errors="replace")

    def start(self) -> Self:
        """Start the child and wait until it is ready.

        Raises:
            ServerError: it failed, died, or wasn't ready within `start_timeout` seconds.
        """
        try:
            self.launch()
            self.address = self._wait(self._ready, self.start_timeout, "was not ready")
        except BaseException:
            self.close()
            raise
        return self

    async def start_async(self) -> Self:
        """Start the child without blocking the loop while it gets ready; raises as `start`."""
        try:
            self.launch()
            self.address = await self._wait_async(self._ready, self.start_timeout, "was not ready")
        except BaseException:
            await self.close_async()
            raise
        return self

    def call(self, message: Any, *, timeout: float = 10.0) -> Any:
        """Send a JSON value to the child's `answer` and return its reply.

        Raises:
            ServerError: the call raised there, the child died, or `timeout` seconds passed.
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
                self._pending.pop(number, None)
            if not future.done():
                future.set_exception(self._death())
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
            self._kill(process)
            process.wait()
            for thread in self._threads:
                thread.join(1.0)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    async def close_async(self) -> None:
        """Do as `close` does, without blocking the loop."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                process.stdin.close()
        try:
            deadline = time.monotonic() + _KILL_AFTER
            while process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - a process's end has no event
                await asyncio.sleep(0.01)
        finally:
            self._kill(process)
            # loopclinic: ignore[blocking-subprocess] it has ended, there is nothing to wait for
            self.close()

    def given(self) -> Self:
        """Return itself."""
        return self

    def launch(self) -> Self:
        """Start the child and don't wait: `start()` waits. So several can start side by side."""
        if self._process is not None:
            return self
        self._ready = Future()
        with _interrupts_held():
            self._process = process = subprocess.Popen(
                # -P: a random.py in the working directory must not stand in for the library's.
                [sys.executable, "-P", "-c", _BOOT, self.module, _ROOT, self.label],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            # Held until its threads run, too: close() after an interrupt waits for them.
            self._threads = []
            for name, target in (("output", self._drain), ("reports", self._read)):
                thread = threading.Thread(
                    target=target, args=(process,), name=f"{self.label}-{name}", daemon=True
                )
                thread.start()
                self._threads.append(thread)
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it died at once: the wait for `ready` says so
            process.stdin.write(json.dumps(self.spec).encode() + b"\n")
            process.stdin.flush()
        return self

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        elif process.poll() is None:
            process.kill()

    def _drain(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        size = 0
        while chunk := os.read(process.stderr.fileno(), 8192):
            with self._lock:
                self._output.append(chunk)
                size += len(chunk)
                self.printed += len(chunk)
                while size > _OUTPUT_KEPT + len(self._output[0]):
                    size -= len(self._output.popleft())

    def _read(self, process: subprocess.Popen[bytes]) -> None:
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
        if self._threads and threading.current_thread() is not self._threads[0]:
            self._threads[0].join(0.5)  # its last words
        death = self._death(process)
        with self._lock:
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


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
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
