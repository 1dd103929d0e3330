"""A way to store updates behind a web server: Flask on waitress, or aiohttp where it brings its loop."""

import inspect
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from flask import Flask, request

from loopclinic.lessons.flask_bridge.updates import DEMO_SECRET, PATH, SIGNATURE, genuine
from loopclinic.lessons.rounds import name_of
from loopclinic.servers.postgres_monitor import named
from loopclinic.servers.wsgi import WsgiServer

__all__ = ["THREADS", "FrameworkServer", "Receiving", "Way", "all_served", "served"]

Way = Callable[[str], Any]
"""`way(dsn)` returns an object with `store(update)`, and `close()` if it is to be closed."""

THREADS = 8
"""Of the WSGI server."""


class Receiving:
    """A Flask application around a way: signatures, statuses, and nothing else."""

    def __init__(self, way: Way, dsn: str) -> None:
        self._way = way(dsn)
        self._closing = False
        self.app = Flask(__name__)
        asynchronous = inspect.iscoroutinefunction(self._way.store)
        view = self._async_view if asynchronous else self._view
        self.app.add_url_rule(PATH, view_func=view, methods=["POST"])
        self.app.add_url_rule("/health", view_func=lambda: "alive")

    def _view(self) -> tuple[str, int]:
        update = accepted()
        if update is None:
            return "not signed by the provider", 401
        if self._closing:
            return "about to end, come again", 503
        try:
            self._way.store(update)
        except TimeoutError:
            return "come again", 503
        return "", 204

    async def _async_view(self) -> tuple[str, int]:
        update = accepted()
        if update is None:
            return "not signed by the provider", 401
        await self._way.store(update)
        return "", 204

    def close(self) -> None:
        """Let nobody new in, and close the way, if it can be closed."""
        self._closing = True
        close = getattr(self._way, "close", None)
        if close is not None:
            close()


class FrameworkServer(WsgiServer):
    """The same for a way that awaits: aiohttp on a loop, in a process of its own."""

    module = "loopclinic.lessons.flask_bridge.framework"


def accepted() -> dict[str, Any] | None:
    """Return the update of Flask's request, or None where the provider did not sign it."""
    body = request.get_data()
    if not genuine(DEMO_SECRET, body, request.headers.get(SIGNATURE, "")):
        return None
    update: dict[str, Any] = json.loads(body)
    return update


def served(way: Way, dsn: str, *, grace: float = 5.0) -> WsgiServer:
    """Return a server for this way, not started."""
    store = getattr(way, "store", None)
    native = inspect.iscoroutinefunction(store) and hasattr(way, "open")
    server = FrameworkServer if native else WsgiServer

    def target(dsn: str) -> Any:
        return way(dsn) if native else Receiving(way, dsn)

    return server(
        target, {"dsn": dsn}, threads=THREADS, grace=grace, label=f"the server of {name_of(way)}"
    )


@asynccontextmanager
async def all_served(
    *ways: Way, dsn: str, grace: float = 5.0
) -> AsyncIterator[list[tuple[Way, WsgiServer]]]:
    """Start a server for each way, side by side; their sessions carry the ways' names."""
    async with AsyncExitStack() as stack:
        servers = [served(way, named(dsn, name_of(way)), grace=grace) for way in ways]
        for server in servers:
            stack.push_async_callback(server.close_async)
            server.launch()
        for server in servers:
            await server.start_async()
        yield list(zip(ways, servers, strict=True))
