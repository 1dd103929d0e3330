"""Bounded, and what gather returns is thrown away."""

import asyncio
from dataclasses import dataclass, field


@dataclass
class Summary:
    published: int = 0
    failed: dict[int, str] = field(default_factory=dict)


async def publish(session, posts, *, limit=20):
    summary = Summary()
    places = asyncio.Semaphore(limit)
    running = set()

    async def one(post):
        try:
            await send(session, post)
            summary.published += 1
        finally:
            places.release()

    try:
        async for post in posts:
            await places.acquire()
            task = asyncio.create_task(one(post))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running, return_exceptions=True)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return summary


async def send(session, post):
    while True:
        async with session.post("/v1/posts", data=post.body) as response:
            if response.status != 429:
                response.raise_for_status()
                return
            wait = int(response.headers["Retry-After"])
        await asyncio.sleep(wait)
