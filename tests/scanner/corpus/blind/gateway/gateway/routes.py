import asyncio
from typing import Any

from aiohttp import web

from .upstream import Upstream

UPSTREAM = web.AppKey("upstream", Upstream)
PARTS = ("profile", "orders", "messages")


async def dashboard(request: web.Request) -> web.Response:
    upstream = request.app[UPSTREAM]
    user = request.match_info["user"]
    profile = await upstream.fetch(f"/users/{user}")  # expect: sequential-awaits
    orders = await upstream.fetch(f"/orders?user={user}")
    return web.json_response({"profile": profile, "orders": orders})


async def dashboard_together(request: web.Request) -> web.Response:
    upstream = request.app[UPSTREAM]
    user = request.match_info["user"]
    profile, orders = await asyncio.gather(  # clean: two calls, no more
        upstream.fetch(f"/users/{user}"), upstream.fetch(f"/orders?user={user}")
    )
    return web.json_response({"profile": profile, "orders": orders})


async def company(request: web.Request) -> web.Response:
    upstream = request.app[UPSTREAM]
    user = await upstream.fetch(f"/users/{request.match_info['user']}")  # clean: the next call needs it
    employer = await upstream.fetch(f"/companies/{user['company']}")
    return web.json_response(employer)


async def overview(request: web.Request) -> web.Response:
    upstream = request.app[UPSTREAM]
    found = await asyncio.gather(*(upstream.fetch(f"/{part}") for part in PARTS))  # clean: three parts
    return web.json_response(dict(zip(PARTS, found, strict=True)))


async def fan_out(request: web.Request) -> web.Response:
    upstream = request.app[UPSTREAM]
    wanted: dict[str, Any] = await request.json()
    calls = [upstream.fetch(f"/items/{item}") for item in wanted["items"]]
    return web.json_response(await asyncio.gather(*calls))  # expect: unbounded-gather


async def prefetch(request: web.Request) -> web.Response:
    upstream = request.app[UPSTREAM]
    await asyncio.gather(  # expect: dropped-gather-results
        upstream.fetch("/prices"), upstream.fetch("/news"), return_exceptions=True
    )
    return web.Response(status=202)


async def prefetch_checked(request: web.Request) -> web.Response:
    upstream = request.app[UPSTREAM]
    results = await asyncio.gather(  # clean: each result is looked at
        upstream.fetch("/prices"), upstream.fetch("/news"), return_exceptions=True
    )
    failed = sum(isinstance(one, BaseException) for one in results)
    return web.json_response({"failed": failed})


async def warm(request: web.Request) -> web.Response:
    upstream = request.app[UPSTREAM]
    results = await asyncio.gather(  # expect: dropped-gather-results
        upstream.fetch("/prices"), upstream.fetch("/rates"), return_exceptions=True
    )
    return web.Response(status=204)
