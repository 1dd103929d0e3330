"""Serves one variant on the running loop, on a port of 127.0.0.1."""

import asyncio
import contextlib
import inspect
import json
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from loopclinic.load.variant import LoadError, Request, Variant, is_application
from loopclinic.probe import user_code

if TYPE_CHECKING:
    from loopclinic.load.gauge import Gauge

__all__ = ["Station"]

_BACKLOG = 4096
"""Connections the kernel keeps for a loop that is too stuck to accept them."""


class Station:
    """`async with Station(variant) as station:` sets the variant up and serves it on `.port`.

    Raises:
        LoadError: the variant's setup or its application can't be used.
    """

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.port = 0
        self.gauge: Gauge | None = None
        self._runner: web.BaseRunner | None = None
        self._stack = contextlib.AsyncExitStack()
        self._state: Any = None
        self._target: Any = None

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            self._target = self.variant.load()
            if self.variant.setup is not None:
                manager = self.variant.setup()
                if not hasattr(manager, "__aenter__"):
                    raise LoadError(
                        f"the setup of '{self.variant.name}' gives {type(manager).__name__}, no "
                        "async context manager: decorate it with @contextlib.asynccontextmanager."
                    )
                self._state = await stack.enter_async_context(manager)
            runner = self._runner = await self._make_runner()
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, backlog=_BACKLOG)
            await site.start()
            self.port = runner.addresses[0][1]
            self._stack = stack.pop_all()
        return self

    @property
    def connections(self) -> int:
        """Connections that are open; aiohttp has a task for each, beside one a request."""
        server = self._runner.server if self._runner is not None else None
        return len(getattr(server, "connections", ()))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def _make_runner(self) -> web.BaseRunner:
        options: dict[str, Any] = {
            "handler_cancellation": True,
            "access_log": None,
            "keepalive_timeout": 3600.0,
        }
        target = self._target
        if not is_application(target):
            return web.ServerRunner(web.Server(self._handle, **options), shutdown_timeout=0.5)
        if not isinstance(target, web.Application):
            target = target()
            if inspect.isawaitable(target):
                target = await target
        if not isinstance(target, web.Application):
            raise LoadError(
                f"'{self.variant.name}' takes no request and makes no web.Application: "
                "write it as 'async def handler(request)'."
            )
        return web.AppRunner(target, shutdown_timeout=0.5, **options)

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        body = await incoming.content.read()
        number = int(incoming.headers.get("X-Loopclinic-Number", 0))
        request = Request(number, json.loads(body) if body else None, self._state)
        try:
            answer = await self._target(request)
            return answer if isinstance(answer, web.StreamResponse) else _response(answer)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            kind = type(error).__name__
            if self.gauge is not None and kind not in self.gauge.first_errors:
                self.gauge.first_errors[kind] = _in_words(error)
            return web.Response(status=500, headers={"X-Loopclinic-Error": kind})


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
    if not own:
        return said
    return f"{said} ({own[-1].filename.rpartition('/')[2]}:{own[-1].lineno})"
