"""Without return_exceptions, gather raises the first failure."""

import asyncio
from dataclasses import dataclass, field


@dataclass
class Summary:
    published: int = 0
    failed: dict[int, str] = field(default_factory=dict)


async def publish(session, posts, *, limit=20):
    summary = Summary()
    queue = asyncio.Queue(limit)

    async def feed():
        async for post in posts:
            await queue.put(post)
        for _ in range(limit):
            await queue.put(None)

    async def work():
        while (post := await queue.get()) is not None:
            await send(session, post)
            summary.published += 1

    tasks = [asyncio.create_task(job) for job in (feed(), *(work() for _ in range(limit)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return summary


async def send(session, post):
    while True:
        async with session.post("/v1/posts", data=post.body) as response:
            if response.status != 429:
                response.raise_for_status()
                return
            wait = int(response.headers["Retry-After"])
        await asyncio.sleep(wait)
