"""Handle of a WSGI server (waitress) in a process of its own: start, state, stop."""

import asyncio
import base64
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

import cloudpickle

from loopclinic.servers.server_process import ServerError, ServerProcess

_ASK = 5.0
_PERIOD = 0.02


class WsgiServer(ServerProcess):
    """Serves what `target(**options)` returns: `with` and `async with` start it, `url` is where.

    That is a WSGI application, or an object with one as `app`, and, where it has them, `close()`,
    called at SIGTERM while requests are still under way, and `state()`, JSON values for `state`.
    The process ends when `close()` has returned and all requests were answered, `grace` seconds
    after SIGTERM at the latest, whatever threads of its own still do. `close()` ends it as a power cut does.

    Args:
        target: a callable, which travels by value, or `"FILE.py:name"`, or `"package.module:name"`.
        options: what it is called with, JSON values.
        threads: that waitress answers requests on, and so the most requests at work at once.
        port: 0 takes a free one.
        grace: seconds from SIGTERM to the end.
        linger: seconds that the process waits at the very end, so that `state` can still be asked.
        label: what errors call it.

    Raises:
        ServerError: at its start: the target can't be had, raised, or gave no application; the port is
            taken.
    """

    module = "loopclinic.servers.wsgi_server"
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
        super().__init__(
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
            label=label or f"the server of {name.rpartition(':')[2]}",
        )

    @property
    def url(self) -> str:
        """Where it listens; empty before it is ready."""
        return str(self.address or "")

    def state(self) -> dict[str, Any]:
        """Return what goes on there; ServerError if it is gone, or did not answer within 5 s.

        `phase` is `serving`, `closing` or `closed`; `under_way` counts requests; `late` is whether
        `close()` took longer than the grace, `closing` the error it raised; `threads` counts all
        threads but the kit's own; the rest is what `state()` of the application says.
        """
        return dict(self.call("state", timeout=_ASK))

    async def state_async(self) -> dict[str, Any]:
        """Do as `state` does, without blocking the loop."""
        return dict(await self.call_async("state", timeout=_ASK))

    async def phase_async(self) -> str:
        """Return the `phase` alone, which costs next to nothing."""
        return str(await self.call_async("phase", timeout=_ASK))

    def terminate(self) -> None:
        """Send SIGTERM, as whoever deploys does, and return at once. Harmless where it is gone."""
        pid = self.pid
        if pid is None:
            return
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        else:
            self.submit("terminate")  # Windows would end it on the spot

    def gone(self) -> bool:
        """Return whether the process has ended, by itself or otherwise."""
        return self._process is None or self._process.poll() is not None

    async def ended(self, within: float) -> bool:
        """Wait for the end, `within` seconds at most; whether it came."""
        deadline = time.monotonic() + within
        while not self.gone():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_PERIOD)
        return True


def packed(target: Callable[..., Any]) -> str:
    """Return a callable as text, by value where it was typed in a notebook; ServerError if it can't travel."""
    try:
        return base64.b64encode(cloudpickle.dumps(target)).decode()
    except Exception as error:
        name = getattr(target, "__name__", "the target")
        raise ServerError(
            f"{name} can't travel to a process of its own ({error}): make loops, sockets and locks "
            "inside of it."
        ) from error
