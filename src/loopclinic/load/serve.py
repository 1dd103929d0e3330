"""Serves one variant by HTTP on the running loop, on a free port of 127.0.0.1; `main` does so in a process of its own."""

import asyncio
import contextlib
import inspect
import json
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from loopclinic.import_path import LoadError
from loopclinic.load.by_value import unpack_value
from loopclinic.load.gauge import Gauge
from loopclinic.load.serve_asgi import AsgiHost
from loopclinic.load.serve_wsgi import WsgiHost
from loopclinic.load.variant import FORMS, Request, Variant, form_of
from loopclinic.probe import Probe, user_code
from loopclinic.servers.lifeline import ParentLink

_Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_BACKLOG = 4096  # more than a load has in flight: a comparison loses no caller to a full queue


class LocalServer:
    """`async with LocalServer(variant) as server:` sets the variant up and serves it on `.port`, or raises LoadError.

    `backlog` connections wait in the kernel for a loop that is too stuck to accept them. It is also
    how many asyncio accepts in one iteration, so each of them may block before the next is over.
    """

    def __init__(self, variant: Variant, *, backlog: int = _BACKLOG) -> None:
        self.variant = variant
        self._backlog = backlog
        self.port = 0
        self.form = ""
        self.gauge: Gauge | None = None
        self._runner: web.BaseRunner | None = None
        self._stack = contextlib.AsyncExitStack()
        self._state: Any = None
        self._target: Any = None

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            # loopclinic: ignore[blocking-file-io] nothing is served yet
            self._target = self.variant.load()
            if self.variant.setup is not None:
                manager = self.variant.setup()
                if not hasattr(manager, "__aenter__"):
                    raise LoadError(
                        f"the setup of '{self.variant.name}' gives {type(manager).__name__}, no "
                        "async context manager: decorate it with @contextlib.asynccontextmanager."
                    )
                self._state = await stack.enter_async_context(manager)
            runner = self._runner = await self._make_runner(stack)
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, backlog=self._backlog)
            await site.start()
            self.port = runner.addresses[0][1]
            self._stack = stack.pop_all()
        return self

    @property
    def connections(self) -> int:
        """Connections that are open; aiohttp has a task for each, beside one a request."""
        server = self._runner.server if self._runner is not None else None
        return len(getattr(server, "connections", ()))

    async def __aexit__(self, *error: object) -> None:
        await self._stack.__aexit__(*error)  # type: ignore[arg-type]

    async def _make_runner(self, stack: contextlib.AsyncExitStack) -> web.BaseRunner:
        options: dict[str, Any] = {"handler_cancellation": True, "access_log": None}
        options["keepalive_timeout"] = 3600.0
        form = form_of(self._target)
        if form == "factory":
            self._target = self._target()
            if inspect.isawaitable(self._target):
                self._target = await self._target
            form = form_of(self._target)
            if form not in ("aiohttp", "asgi", "wsgi"):
                raise LoadError(
                    f"'{self.variant.name}' takes no request and makes no application: "
                    "write it as 'async def handler(request)'."
                )
        if form is None:
            raise LoadError(
                f"'{self.variant.name}' is {type(self._target).__name__}: give an async function "
                "(request) -> response, or an ASGI, WSGI or aiohttp application."
            )
        self.form = FORMS[form]
        if form == "aiohttp":
            return web.AppRunner(self._target, shutdown_timeout=0.5, **options)
        answer = await self._answer_of(form, stack)
        return web.ServerRunner(web.Server(answer, **options), shutdown_timeout=0.5)

    async def _answer_of(self, form: str, stack: contextlib.AsyncExitStack) -> _Answer:
        if form == "asgi":
            host = await stack.enter_async_context(AsgiHost(self._target, self._note))
            return host.answer
        if form == "wsgi":
            threads = stack.enter_context(contextlib.closing(WsgiHost(self._target)))
            return self._guarded(threads.answer)
        return self._guarded(self._call)

    async def _call(self, incoming: web.BaseRequest) -> web.StreamResponse:
        body = await incoming.content.read()
        number = int(incoming.headers.get("X-Loopclinic-Number", 0))
        request = Request(number, json.loads(body) if body else None, self._state)
        answer = await self._target(request)
        return answer if isinstance(answer, web.StreamResponse) else _response(answer)

    def _guarded(self, answer: _Answer) -> _Answer:
        async def guarded(incoming: web.BaseRequest) -> web.StreamResponse:
            try:
                return await answer(incoming)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self._note(error)
                headers = {"X-Loopclinic-Error": type(error).__name__}
                return web.Response(status=500, headers=headers)

        return guarded

    def _note(self, error: Exception, status: int = 0) -> None:
        """Remember the first error of each kind, under the name that the load will count it by."""
        kind = f"HTTP {status}" if status else type(error).__name__
        if self.gauge is not None and kind not in self.gauge.first_errors:
            self.gauge.first_errors[kind] = _in_words(error)


def _response(answer: Any) -> web.Response:
    if answer is None:
        return web.Response()
    if isinstance(answer, bytes):
        return web.Response(body=answer)
    if isinstance(answer, str):
        return web.Response(text=answer)
    return web.json_response(answer, dumps=lambda value: json.dumps(value, default=repr))


def _in_words(error: BaseException) -> str:
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if user_code(frame.filename)]
    return f"{said} ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else said


async def main(link: ParentLink) -> None:
    """Serve until the parent is gone, then leave the variant's setup as it asks for."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    gauge: Gauge | None = None

    def answer(call: str) -> dict[str, Any] | None:
        # On the lifeline's thread: it answers also while the loop is stuck.
        if gauge is None:
            raise RuntimeError("not ready yet")
        if call == "begin":
            gauge.begin()
            return None
        return gauge.end()

    # Before the variant is set up: a parent that dies meanwhile must not leave it behind.
    link.listen(answer, on_end=lambda: loop.call_soon_threadsafe(gone.set))
    async with LocalServer(unpack_value(link.spec)) as server, Probe() as probe:
        server.gauge = gauge = Gauge(probe, lambda: server.connections)
        link.ready({"port": server.port, "served": server.form})
        await gone.wait()
