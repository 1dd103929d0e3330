"""A limit for every page of posts, and no limit for pages."""

import asyncio
from dataclasses import dataclass, field

import aiohttp


@dataclass
class Summary:
    published: int = 0
    failed: dict[int, str] = field(default_factory=dict)


async def publish(session, posts, *, limit=20):
    summary = Summary()
    page = []

    async def work(page):
        while page:
            await publish_one(session, page.pop(), summary)

    async with asyncio.TaskGroup() as group:
        async for post in posts:
            page.append(post)
            if len(page) == 50:
                for _ in range(limit):
                    group.create_task(work(page))
                page = []
        for _ in range(limit):
            group.create_task(work(page))
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
