"""Servers of notebook 03: Flask on waitress for a way that blocks, aiohttp for one that awaits."""

import asyncio
import base64
import inspect
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import cloudpickle
from aiohttp import web
from flask import Flask, request

from loopclinic.lessons.database.sessions import named
from loopclinic.lessons.flask_bridge.webhooks import DEMO_SECRET, PATH, SIGNATURE, genuine
from loopclinic.load.variant import name_of
from loopclinic.servers.lifeline import ParentLink
from loopclinic.servers.wsgi import WsgiServer

Way = Callable[[str], Any]
"""`way(dsn)` returns an object with `store(update)`, and `close()` if it is to be closed."""

THREADS = 8
"""Of the WSGI server."""


def accepted(body: bytes, signature: str) -> dict[str, Any] | None:
    """Return the update that came, or None where the provider did not sign it."""
    if not genuine(DEMO_SECRET, body, signature):
        return None
    update: dict[str, Any] = json.loads(body)
    return update


class Receiving:
    """A Flask application around a way: signatures, statuses, and nothing else."""

    def __init__(self, way: Way, dsn: str) -> None:
        self._way, self._closing = way(dsn), False
        self.app = Flask(__name__)
        # What awaits, Flask runs as it runs an async view: on a loop made for the request.
        self._store = self.app.ensure_sync(self._way.store)
        self.app.add_url_rule(PATH, view_func=self._view, methods=["POST"])
        self.app.add_url_rule("/health", view_func=lambda: "alive")

    def _view(self) -> tuple[str, int]:
        update = accepted(request.get_data(), request.headers.get(SIGNATURE, ""))
        if update is None:
            return "not signed by the provider", 401
        if self._closing:
            return "about to end, come again", 503
        try:
            self._store(update)
        except TimeoutError:
            return "come again", 503
        return "", 204

    def close(self) -> None:
        """Refuse new requests, and close the way if it has `close`."""
        self._closing = True
        getattr(self._way, "close", lambda: None)()


class FrameworkServer(WsgiServer):
    """The same for a way that awaits: aiohttp on a loop, in a process of its own, which is this module."""

    module = __name__


def served(way: Way, dsn: str, *, grace: float = 5.0) -> WsgiServer:
    """Return a server for this way, not started."""
    store = getattr(way, "store", None)
    native = inspect.iscoroutinefunction(store) and hasattr(way, "open")
    server = FrameworkServer if native else WsgiServer

    def target(dsn: str) -> Any:
        return way(dsn) if native else Receiving(way, dsn)

    label = f"the server of {name_of(way)}"
    return server(target, {"dsn": dsn}, threads=THREADS, grace=grace, label=label)


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


def main(link: ParentLink) -> None:
    """Serve a way by aiohttp until SIGTERM, or until the parent is gone."""
    spec, phase = link.spec, "serving"
    listening = socket.create_server(("127.0.0.1", spec["port"]))
    way: Any = None

    async def receive(it: web.Request) -> web.Response:
        if (update := accepted(await it.read(), it.headers.get(SIGNATURE, ""))) is None:
            return web.Response(status=401)
        try:
            await way.store(update)
        except TimeoutError:
            return web.Response(status=503)
        return web.Response(status=204)

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="alive")

    async def opened(_: web.Application) -> AsyncIterator[None]:
        nonlocal way, phase
        loop = asyncio.get_running_loop()

        def answer(call: Any) -> Any:
            if call == "terminate":
                return loop.call_soon_threadsafe(_end) and None
            return phase if call == "phase" else {"phase": phase}

        way = cloudpickle.loads(base64.b64decode(spec["value"]))(**spec["options"])
        await way.open()
        link.ready(f"http://127.0.0.1:{listening.getsockname()[1]}")
        link.listen(answer)
        yield
        await way.close()  # requests under way have been waited for
        phase = "closed"

    app = web.Application()
    app.add_routes([web.post(PATH, receive), web.get("/health", health)])
    app.cleanup_ctx.append(opened)
    web.run_app(app, sock=listening, shutdown_timeout=spec["grace"], print=None, access_log=None)
    time.sleep(spec["linger"])
    os._exit(0)


def _end() -> None:
    raise web.GracefulExit
