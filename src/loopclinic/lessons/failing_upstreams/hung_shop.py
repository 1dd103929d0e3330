"""A shop of notebook 10 that hangs, in a process of its own: `ServerProcess(hung_shop.__name__, url)`.

Its pages ask the service at `url`: `/sdk/price` by a call that blocks the loop, without a timeout; all others
by a pool of two connections.
"""

import asyncio
import urllib.request

import aiohttp
from aiohttp import web

from loopclinic.servers.lifeline import ParentLink

ask_by_sdk = urllib.request.urlopen
"""What a synchronous SDK comes to."""


async def serve(link: ParentLink) -> None:
    """Serve pages on a free port, which is the address, until the parent is gone."""
    pool = aiohttp.TCPConnector(limit=2)
    async with aiohttp.ClientSession(link.spec, connector=pool) as session:

        async def page(request: web.Request) -> web.Response:
            asked = request.path.encode()
            if request.path.startswith("/sdk"):
                # loopclinic: ignore[blocking-http] what makes it hang
                ask_by_sdk(link.spec, asked)
            async with session.post("/", data=asked) as answer:
                return web.Response(body=await answer.read())

        shop = web.Application()
        shop.router.add_get("/{what:.*}", page)
        runner = web.AppRunner(shop)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await link.serve(runner.addresses[0][1], lambda _: asyncio.sleep(0))


def main(link: ParentLink) -> None:
    """Run the shop."""
    asyncio.run(serve(link))
