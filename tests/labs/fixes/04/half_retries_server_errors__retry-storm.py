"""A 503 is taken for a 429 without Retry-After, and tried again at once."""

import asyncio
from dataclasses import dataclass, field

import aiohttp


@dataclass
class Summary:
    published: int = 0
    failed: dict[int, str] = field(default_factory=dict)


async def publish(session, posts, *, limit=20):
    summary = Summary()
    queue = asyncio.Queue(limit)

    async def work():
        while (post := await queue.get()) is not None:
            await publish_one(session, post, summary)

    async with asyncio.TaskGroup() as group:
        for _ in range(limit):
            group.create_task(work())
        async for post in posts:
            await queue.put(post)
        for _ in range(limit):
            await queue.put(None)
    return summary


async def publish_one(session, post, summary):
    try:
        await send(session, post)
    except (aiohttp.ClientError, TimeoutError) as error:
        summary.failed[post.id] = repr(error)
    else:
        summary.published += 1


async def send(session, post):
    while True:
        async with session.post("/v1/posts", data=post.body) as response:
            if response.status not in (429, 503):
                response.raise_for_status()
                return
            wait = int(response.headers.get("Retry-After", 0))
        await asyncio.sleep(wait)
