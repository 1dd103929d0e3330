import asyncio
import logging

from aiohttp import web

from .storage import ObjectStore

log = logging.getLogger(__name__)
routes = web.RouteTableDef()
store = ObjectStore("localhost:9000")


async def handle(message: dict[str, str]) -> None:
    await store.save(message["id"], message["body"].encode())


@routes.post("/webhook")
async def webhook(request: web.Request) -> web.Response:
    batch = await request.json()
    await asyncio.gather(*(handle(one) for one in batch["messages"]))  # expect: unbounded-gather
    return web.Response(status=204)


@routes.post("/webhook/replay")
async def replay(request: web.Request) -> web.Response:
    batch = await request.json()
    for one in batch["messages"]:
        await handle(one)  # expect: sequential-awaits
    return web.Response(status=204)


_publishing = asyncio.Semaphore(5)


async def publish(message: dict[str, str]) -> None:
    async with _publishing:
        await handle(message)


@routes.post("/publish")
async def publish_all(request: web.Request) -> web.Response:
    batch = await request.json()
    results = await asyncio.gather(  # clean: each one waits for the semaphore
        *(publish(one) for one in batch["posts"]), return_exceptions=True
    )
    for error in (one for one in results if isinstance(one, BaseException)):
        log.error("not published: %r", error)
    return web.Response(status=204)
