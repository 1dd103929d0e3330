"""Serves an ASGI application on aiohttp's server: HTTP and lifespan.

Source: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Self

from aiohttp import web

from loopclinic.import_path import LoadError

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


class AsgiHost:
    """`async with AsgiHost(application) as host:` goes through its lifespan; `answer` serves.

    `failed(error, status)` is told what the application raised, and with which status it answered. LoadError
    if it says that its startup failed.
    """

    def __init__(self, application: Application, failed: Callable[[Exception, int], Any]) -> None:
        self._application, self._failed = application, failed
        self._state: dict[str, Any] = {}
        self._lifespan: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._at_work: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._lifespan = asyncio.create_task(self._live())
        self._events.put_nowait({"type": "lifespan.startup"})
        said = await self._said.get()
        if said["type"] == "lifespan.startup.failed":
            raise LoadError(f"its startup failed: {said.get('message') or 'it does not say why'}.")
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._at_work:
            task.cancel()
        if self._lifespan is not None and not self._lifespan.done():
            self._events.put_nowait({"type": "lifespan.shutdown"})
            await self._said.get()
            self._lifespan.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._lifespan

    async def _live(self) -> None:
        scope = {"type": "lifespan", "asgi": _VERSION, "state": self._state}
        # By the specification: one that raises here knows no lifespan, and is served all the same.
        with contextlib.suppress(Exception):
            await self._application(scope, self._events.get, self._said.put)
        self._said.put_nowait({"type": "none"})

    async def answer(self, incoming: web.BaseRequest) -> web.StreamResponse:
        """Serve one request; what the application does after its answer goes on by itself."""
        exchange = _Exchange(incoming, await incoming.content.read())
        scope = _scope(incoming, self._state)
        task = asyncio.create_task(self._run(scope, exchange))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)
        try:
            await exchange.over.wait()
        finally:
            exchange.gone.set()
        if exchange.response is None:
            kind = exchange.error or "NoResponse"
            return web.Response(status=500, headers={"X-Loopclinic-Error": kind})
        return exchange.response

    async def _run(self, scope: Message, exchange: "_Exchange") -> None:
        try:
            await self._application(scope, exchange.receive, exchange.send)
        except Exception as error:
            exchange.error = type(error).__name__
            status = exchange.response.status if exchange.response is not None else 0
            self._failed(error, status)
        finally:
            exchange.over.set()


class _Exchange:
    """One request and its answer."""

    def __init__(self, incoming: web.BaseRequest, body: bytes) -> None:
        self._incoming = incoming
        self._body: bytes | None = body
        self.response: web.StreamResponse | None = None
        self.error = ""
        self.over = asyncio.Event()
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.gone.is_set():
            return
        if message["type"] == "http.response.start":
            self.response = web.StreamResponse(status=message["status"])
            for name, value in message.get("headers", ()):
                self.response.headers.add(name.decode("latin-1"), value.decode("latin-1"))
            return
        if message["type"] != "http.response.body" or self.response is None:
            return
        more = message.get("more_body", False)
        if not self.response.prepared:
            if not more and "Content-Length" not in self.response.headers:
                self.response.content_length = len(message.get("body", b""))
            await self.response.prepare(self._incoming)
        if message.get("body"):
            await self.response.write(message["body"])
        if not more:
            await self.response.write_eof()
            self.over.set()


def _scope(incoming: web.BaseRequest, state: dict[str, Any]) -> Message:
    return {
        "type": "http",
        "asgi": _VERSION,
        "http_version": "1.1",
        "method": incoming.method,
        "scheme": "http",
        "path": incoming.path,
        "raw_path": incoming.rel_url.raw_path.encode("ascii"),
        "query_string": incoming.rel_url.raw_query_string.encode("ascii"),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in incoming.raw_headers],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", incoming.url.port),
        "state": dict(state),
    }


_VERSION = {"version": "3.0", "spec_version": "2.3"}
