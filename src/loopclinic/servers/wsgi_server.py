"""Process of a WSGI server: waitress around an application, with a graceful shutdown at SIGTERM."""

import base64
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from loopclinic.import_path import Reference
from loopclinic.servers.lifeline import ParentLink

_HOST = "127.0.0.1"
_PERIOD = 0.01
_CONNECTIONS = 1000


class Host:
    """Serves `hosted` (an application, or an object with `app`) until `run` returns.

    `hosted.close()` is called once it is asked to end, on a thread, while requests are under way.
    """

    def __init__(
        self, hosted: Any, listening: socket.socket, *, threads: int, grace: float
    ) -> None:
        from waitress.server import create_server  # type: ignore[import-untyped]

        self.hosted = hosted
        self.phase = "serving"
        self.grace = grace
        self.closing: str | None = None
        """The error that `close()` raised."""
        self.late = False
        """Whether `close()` had not returned at the end of the grace."""
        self._awaited, self.bell = socket.socketpair()
        self.bell.setblocking(False)
        self._server: Any = create_server(
            getattr(hosted, "app", hosted),
            sockets=[listening],
            threads=threads,
            connection_limit=_CONNECTIONS,
            clear_untrusted_proxy_headers=True,
        )
        self._serving = threading.Thread(target=self._server.run, name="waitress", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.effective_port)

    @property
    def under_way(self) -> int:
        """Requests that were read and are not answered yet."""
        channels = list(self._server.active_channels.values())
        return sum(bool(one.requests or one.total_outbufs_len) for one in channels)

    def end(self) -> None:
        """Request the shutdown."""
        self.bell.send(b"\0")

    def serve(self) -> None:
        """Serve on a thread of its own; returns at once."""
        self._serving.start()

    def run(self) -> None:
        """Wait for the request to shut down, or SIGTERM, then shut down gracefully."""
        while self._awaited.recv(1)[0] not in (0, signal.SIGTERM):
            pass  # another signal of the application's own
        deadline = time.monotonic() + self.grace
        self.phase = "closing"
        self._server.trigger.pull_trigger(self._stop_listening)
        close = getattr(self.hosted, "close", None)
        if callable(close):
            closer = threading.Thread(target=self._close, args=(close,), name="close", daemon=True)
            closer.start()
            closer.join(max(0.0, deadline - time.monotonic()))
            self.late = closer.is_alive()
        while self.under_way and time.monotonic() < deadline:
            time.sleep(_PERIOD)
        self.phase = "closed"

    def _stop_listening(self) -> None:
        from waitress import wasyncore  # type: ignore[import-untyped]

        # Not the server's own close(): that ends its trigger, too, and answers could not leave.
        wasyncore.dispatcher.close(self._server)

    def _close(self, close: Callable[[], Any]) -> None:
        try:
            close()
        except BaseException as error:
            self.closing = f"{type(error).__name__}: {error}"
            traceback.print_exc()

    def state(self) -> dict[str, Any]:
        """Return what goes on, as JSON values."""
        own = ("waitress", "loopclinic-", "MainThread", "close")
        found = {
            "phase": self.phase,
            "under_way": self.under_way,
            "late": self.late,
            "closing": self.closing,
            "threads": sum(not one.name.startswith(own) for one in threading.enumerate()),
        }
        state = getattr(self.hosted, "state", None)
        return {**found, **(state() if callable(state) else {})}


def main(link: ParentLink) -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    spec = link.spec
    logging.getLogger("waitress").setLevel(logging.ERROR)
    listening = _listen(link, spec["port"])
    hosted = _hosted(link, spec)
    if listening is None or hosted is None:
        sys.exit(1)
    host = Host(hosted, listening, threads=spec["threads"], grace=spec["grace"])
    # A signal may reach any thread, while Python's handlers run on the main one when that wakes up:
    # the bell is rung by whichever it is.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(host.bell.fileno(), warn_on_full_buffer=False)

    def answer(call: Any) -> Any:
        if call == "terminate":
            return host.end()
        if call == "phase":
            return host.phase
        return host.state()

    host.serve()
    link.ready(f"http://{_HOST}:{host.port}")
    link.listen(answer)
    host.run()
    time.sleep(spec["linger"])
    # A process that was told to end, ends: daemon threads are not waited for.
    sys.stderr.flush()
    os._exit(0)


def _listen(link: ParentLink, port: int) -> socket.socket | None:
    try:
        return socket.create_server((_HOST, port), backlog=1024)
    except OSError as error:
        link.failed(
            f"port {port} of {_HOST} is not to be had ({error.strerror}): "
            "end what listens there, or give no port, and a free one is taken."
        )
        return None


def _hosted(link: ParentLink, spec: dict[str, Any]) -> Any:
    name = spec["target"] or "the target"
    try:
        if spec["target"] is not None:
            make = Reference.of(spec["target"]).load()
        else:
            import cloudpickle  # only for what travels by value

            make = cloudpickle.loads(base64.b64decode(spec["value"]))
        hosted = make(**spec["options"])
    except BaseException as error:
        why = f"{type(error).__name__}: {error}"
        link.failed(f"{name} could not be started: {why}", traceback.format_exc())
        return None
    if not callable(getattr(hosted, "app", hosted)):
        link.failed(
            f"{name} returned {type(hosted).__name__}, which is no WSGI application and has none as "
            "`app`: return a Flask(...)."
        )
        return None
    return hosted
