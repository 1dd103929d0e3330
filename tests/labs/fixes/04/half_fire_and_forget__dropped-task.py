"""Returns when the last post has been started, not when it is done."""

import asyncio
from dataclasses import dataclass, field

import aiohttp


@dataclass
class Summary:
    published: int = 0
    failed: dict[int, str] = field(default_factory=dict)


async def publish(session, posts, *, limit=20):
    summary = Summary()
    places = asyncio.Semaphore(limit)
    running = set()

    def done(task):
        running.discard(task)
        places.release()

    async for post in posts:
        await places.acquire()
        task = asyncio.create_task(publish_one(session, post, summary))
        running.add(task)
        task.add_done_callback(done)
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
            if response.status != 429:
                response.raise_for_status()
                return
            wait = int(response.headers["Retry-After"])
        await asyncio.sleep(wait)
