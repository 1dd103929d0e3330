from collections.abc import AsyncIterator

from aiohttp import web

from . import routes
from .upstream import Upstream


async def upstream(app: web.Application) -> AsyncIterator[None]:
    async with Upstream("http://127.0.0.1:9001") as opened:
        app[routes.UPSTREAM] = opened
        yield


def build() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(upstream)
    app.router.add_get("/dashboard/{user}", routes.dashboard)
    app.router.add_post("/fan-out", routes.fan_out)
    return app


if __name__ == "__main__":
    web.run_app(build(), port=8080)
