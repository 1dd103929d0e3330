"""As asyncio.Queue's documentation shows it: when it is cancelled, nobody cancels the workers."""

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
        while True:
            post = await queue.get()
            await publish_one(session, post, summary)
            queue.task_done()

    workers = [asyncio.create_task(work()) for _ in range(limit)]
    async for post in posts:
        await queue.put(post)
    await queue.join()
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
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
