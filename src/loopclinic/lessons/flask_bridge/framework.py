"""The process of an async framework: aiohttp, a way that awaits, and an orderly end at SIGTERM."""

import asyncio
import base64
import json
import os
import signal
import sys
from typing import Any

import cloudpickle
from aiohttp import web

from loopclinic.lessons.flask_bridge.updates import DEMO_SECRET, PATH, SIGNATURE, genuine
from loopclinic.servers.lifeline import ParentLink

__all__ = ["main"]


async def _serve(link: ParentLink) -> None:
    spec = link.spec
    way = cloudpickle.loads(base64.b64decode(spec["value"]))(**spec["options"])
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    phase = "serving"

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        if not genuine(DEMO_SECRET, body, request.headers.get(SIGNATURE, "")):
            return web.Response(status=401)
        try:
            await way.store(json.loads(body))
        except TimeoutError:
            return web.Response(status=503)
        return web.Response(status=204)

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="alive")

    def answer(call: Any) -> Any:
        if call == "terminate":
            return loop.call_soon_threadsafe(over.set) and None
        if call == "phase":
            return phase
        return {"phase": phase}

    await way.open()
    app = web.Application()
    app.add_routes([web.post(PATH, receive), web.get("/health", health)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=spec["grace"])
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", spec["port"]).start()
    if sys.platform != "win32":
        loop.add_signal_handler(signal.SIGTERM, over.set)
    host, port = runner.addresses[0][:2]
    link.ready(f"http://{host}:{port}")
    link.listen(answer)
    await over.wait()
    phase = "closing"
    await runner.cleanup()  # waits for the requests under way
    await way.close()
    phase = "closed"
    await asyncio.sleep(spec["linger"])


def main(link: ParentLink) -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    asyncio.run(_serve(link))
    os._exit(0)
