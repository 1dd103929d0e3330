"""A WSGI application behind waitress, in a process of its own: started, asked, and stopped as in production."""

import asyncio
import base64
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import cloudpickle

from loopclinic.servers.process import ServerError, ServerProcess
from loopclinic.servers.twin import Twin

__all__ = ["ServerError", "WsgiServer"]

_ASK = 5.0
_PERIOD = 0.02


class WsgiServer(Twin["WsgiServer"]):
    """Serves what `target(**options)` returns: `with` and `async with` start it, `url` is where.

    That is a WSGI application, or an object with one as `app`, and, where it has them, `close()`,
    called at SIGTERM while requests are still under way, and `state()`, JSON values for `state`.
    The process ends when `close()` has returned and all requests were answered, `grace` seconds
    after SIGTERM at the latest, whatever threads of its own still do.

    Args:
        target: a callable, which travels by value, or `"FILE.py:name"`, or `"package.module:name"`.
        options: what it is called with, JSON values.
        threads: that waitress answers requests on, and so the most requests at work at once.
        port: 0 takes a free one.
        grace: seconds from SIGTERM to the end.
        linger: seconds that the process waits at the very end, so that `state` can still be asked.
        label: what errors call it.
    """

    module: ClassVar[str] = "loopclinic.servers.wsgi_server"
    """What the process runs; a lesson may have a server of its own that is asked and ended alike."""

    def __init__(
        self,
        target: Callable[..., Any] | str,
        options: Mapping[str, Any] | None = None,
        *,
        threads: int = 8,
        port: int = 0,
        grace: float = 5.0,
        linger: float = 0.0,
        label: str = "",
    ) -> None:
        name = target if isinstance(target, str) else getattr(target, "__name__", "application")
        self.label = label or f"the server of {name.rpartition(':')[2]}"
        self._process = ServerProcess(
            self.module,
            {
                "target": target if isinstance(target, str) else None,
                "value": None if isinstance(target, str) else packed(target),
                "options": dict(options or {}),
                "threads": threads,
                "port": port,
                "grace": grace,
                "linger": linger,
            },
            label=self.label,
        )

    @property
    def url(self) -> str:
        """Where it listens; empty before it is ready."""
        return str(self._process.address or "")

    @property
    def pid(self) -> int | None:
        """The process, or None where there is none."""
        return self._process.pid

    @property
    def output(self) -> str:
        """The last 16 kB that it printed."""
        return self._process.output

    def launch(self) -> Self:
        """Start it and don't wait: so several get ready side by side."""
        self._process.launch()
        return self

    def start(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            ServerError: the target can't be had, raised, or gave no application; the port is taken.
        """
        self._process.start()
        return self

    async def start_async(self) -> Self:
        """Do as `start` does, without blocking the loop."""
        await self._process.start_async()
        return self

    def state(self) -> dict[str, Any]:
        """Return what goes on there.

        `phase` is `serving`, `closing` or `closed`; `under_way` counts requests; `late` is whether
        `close()` took longer than the grace, `closing` the error it raised; `threads` counts all
        threads but the kit's own; the rest is what `state()` of the application says.

        Raises:
            ServerError: it is gone, or did not answer within 5 s.
        """
        return dict(self._process.call("state", timeout=_ASK))

    async def state_async(self) -> dict[str, Any]:
        """Do as `state` does, without blocking the loop."""
        return dict(await self._process.call_async("state", timeout=_ASK))

    async def phase_async(self) -> str:
        """Return the `phase` alone, which costs next to nothing."""
        return str(await self._process.call_async("phase", timeout=_ASK))

    def terminate(self) -> None:
        """Send SIGTERM, as whoever deploys does, and return at once. Harmless where it is gone."""
        pid = self._process.pid
        if pid is None:
            return
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        else:
            self._process.submit("terminate")  # Windows would end it on the spot

    def gone(self) -> bool:
        """Whether the process has ended, by itself or otherwise."""
        running = self._process._process  # noqa: SLF001 - its own house
        return running is None or running.poll() is not None

    async def ended(self, within: float) -> bool:
        """Wait for the end, `within` seconds at most; whether it came."""
        deadline = time.monotonic() + within
        while not self.gone():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_PERIOD)
        return True

    def close(self) -> None:
        """End it without a farewell, as a power cut does. Idempotent."""
        self._process.close()

    async def close_async(self) -> None:
        """Do as `close` does, without blocking the loop."""
        await self._process.close_async()

    def given(self) -> Self:
        """Return itself."""
        return self


def packed(target: Callable[..., Any]) -> str:
    """Return a callable as text, by value where it was typed in a notebook.

    Raises:
        ServerError: it holds what can't travel, such as a loop, a socket or a lock.
    """
    try:
        return base64.b64encode(cloudpickle.dumps(target)).decode()
    except Exception as error:
        name = getattr(target, "__name__", "the target")
        raise ServerError(
            f"{name} can't travel to a process of its own ({error}): make loops, sockets and locks "
            "inside of it."
        ) from error
