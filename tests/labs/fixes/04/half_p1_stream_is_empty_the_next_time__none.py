"""Sends each body as a stream, which is read once: a retry after a 429 has an empty body."""

import asyncio
from dataclasses import dataclass, field

import aiohttp


@dataclass
class Summary:
    published: int = 0
    failed: dict[int, str] = field(default_factory=dict)


async def publish(session, posts, *, limit=20):
    summary = Summary()
    window: set[asyncio.Task[None]] = set()
    try:
        async for post in posts:
            if len(window) == limit:
                done, window = await asyncio.wait(window, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            window.add(asyncio.create_task(publish_one(session, post, summary)))
        if window:
            await asyncio.wait(window)
    finally:
        for task in window:
            task.cancel()
        await asyncio.gather(*window, return_exceptions=True)
    return summary


async def publish_one(session, post, summary):
    try:
        await send(session, post)
    except (aiohttp.ClientError, TimeoutError) as error:
        summary.failed[post.id] = repr(error)
    else:
        summary.published += 1


async def send(session, post):
    stream = chunks(post.body)
    while True:
        async with session.post("/v1/posts", data=stream) as response:
            if response.status != 429:
                response.raise_for_status()
                return
            wait = int(response.headers["Retry-After"])
        await asyncio.sleep(wait)


async def chunks(body):
    for start in range(0, len(body), 64):
        yield body[start : start + 64]
