"""Server of a live room: learners' entries in, the facilitator's page and grade book out."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from loopclinic.room.entry import LARGEST
from loopclinic.room.hub import Hub
from loopclinic.room.live_room import LiveRoom, RefusedError
from loopclinic.room.room_page import grade_book, live_part, page

_PATIENCE = 5.0
"""Seconds in which the body of a request has to be there."""
_IDLE = 10.0
"""Seconds in which a request has to begin and its head to be there, from the start or the last answer."""
_BELOW = "/{_:(?:.*/)?}"
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_log = logging.getLogger(__name__)
# What is no HTTP was answered by 400: it must not fill the facilitator's terminal.
_log.addFilter(lambda it: not (it.exc_info and isinstance(it.exc_info[1], HttpProcessingError)))
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def runner(room: LiveRoom, line: str, hub: Hub | None = None) -> web.AppRunner:
    """Return what serves a room: learners paste `line`, or are known to `hub`."""
    app = application(room, line, hub)
    # Also cuts a connection on which no whole request comes. A compressed entry may be of any size.
    return web.AppRunner(
        app, access_log=None, logger=_log, keepalive_timeout=_IDLE, auto_decompress=False
    )


def application(room: LiveRoom, line: str, hub: Hub | None = None) -> web.Application:
    """Return the application that `runner` serves, below any prefix: proxies may leave theirs in the path."""
    routes = web.RouteTableDef()

    @routes.post(f"{_BELOW}join")
    async def join(request: web.Request) -> web.Response:
        if hub is not None:
            raise RefusedError(403, "On this hub nobody joins by a line.")
        return web.json_response({"key": room.join(_bearer(request), request.remote or "")})

    @routes.put(f"{_BELOW}entry")
    async def entry(request: web.Request) -> web.Response:
        key, address = _bearer(request), request.remote or ""
        if hub is not None:
            key = await hub.name_of(key, room.strangers, address)
            if key in hub.facilitators:
                return web.Response(status=204)
            room.admit(key)
        room.update(key, await request.read(), address)
        return web.Response(status=204)

    @routes.get(f"{_BELOW}key")
    async def key(request: web.Request) -> web.Response:
        token, address = _bearer(request), request.remote or ""
        if hub is None or await hub.name_of(token, room.strangers, address) not in hub.facilitators:
            raise RefusedError(403, "Only a facilitator of a hub asks for this.")
        return web.json_response({"key": room.view})

    @routes.get(_BELOW)
    async def whole(request: web.Request) -> web.Response:
        _check(request)
        nonce = secrets.token_urlsafe(16)
        policy = {"Content-Security-Policy": _POLICY.format(nonce=nonce)}
        text = page(room, line, nonce)
        return web.Response(text=text, content_type="text/html", headers=policy)

    @routes.get(f"{_BELOW}view")
    async def view(request: web.Request) -> web.Response:
        _check(request)
        return web.Response(text=live_part(room), content_type="text/html")

    @routes.post(f"{_BELOW}clock")
    async def clock(request: web.Request) -> web.Response:
        _check(request)
        room.toggle_clock()
        return web.Response(status=204)

    @routes.get(f"{_BELOW}grades.csv")
    async def grades(request: web.Request) -> web.Response:
        _check(request)
        return web.Response(text=grade_book(room), content_type="text/csv")

    def _check(request: web.Request) -> None:
        room.may_view(request.query.get("key", ""), request.remote or "")

    app = web.Application(client_max_size=LARGEST, middlewares=[_refusing])
    app.add_routes(routes)
    return app


@web.middleware
async def _refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer refusals in one line, and let no request last."""
    try:
        async with asyncio.timeout(_PATIENCE):
            answer = await handler(request)
    except RefusedError as error:
        wait = {"Retry-After": str(error.wait)} if error.wait else {}
        answer = web.Response(status=error.status, text=str(error), headers=wait)
    except TimeoutError:
        answer = web.Response(status=408, text="The request came too slowly.")
    except (web.RequestPayloadError, ConnectionError):
        answer = web.Response(status=400, text="The request broke off.")
    answer.headers.update(_HEADERS)
    return answer


def _bearer(request: web.Request) -> str:
    return request.headers.get("Authorization", "").rpartition(" ")[2]
