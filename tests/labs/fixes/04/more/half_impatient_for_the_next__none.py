"""Gives up on `posts` when the next one takes longer than 10 ms."""

import asyncio
from dataclasses import dataclass, field

import aiohttp


@dataclass
class Summary:
    published: int = 0
    failed: dict[int, str] = field(default_factory=dict)


async def publish(session, posts, *, limit=20):
    summary, lock, ended = Summary(), asyncio.Lock(), False
    source = aiter(posts)

    async def take():
        nonlocal ended
        async with lock:
            if ended:
                return None
            try:
                return await asyncio.wait_for(anext(source), 0.01)
            except (StopAsyncIteration, TimeoutError):
                ended = True
                return None

    async def work():
        while (post := await take()) is not None:
            await publish_one(session, post, summary)

    async with asyncio.TaskGroup() as group:
        for _ in range(limit):
            group.create_task(work())
    return summary


async def publish_one(session, post, summary):
    try:
        await send(session, post)
    except aiohttp.ClientError as error:
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
