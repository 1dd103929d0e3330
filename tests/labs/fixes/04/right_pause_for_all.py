"""A 429 pauses all workers until its Retry-After is over."""

import asyncio
from dataclasses import dataclass, field

import aiohttp


@dataclass
class Summary:
    published: int = 0
    failed: dict[int, str] = field(default_factory=dict)


class Publisher:
    def __init__(self, session, limit):
        self.session = session
        self.queue = asyncio.Queue(limit)
        self.limit = limit
        self.quiet_until = 0.0
        self.summary = Summary()

    async def run(self, posts):
        workers = [asyncio.create_task(self.work()) for _ in range(self.limit)]
        feeder = asyncio.create_task(self.feed(posts))
        try:
            await asyncio.gather(feeder, *workers)
        finally:
            for task in (feeder, *workers):
                task.cancel()
            await asyncio.wait((feeder, *workers))
        return self.summary

    async def feed(self, posts):
        async for post in posts:
            await self.queue.put(post)
        for _ in range(self.limit):
            await self.queue.put(None)

    async def work(self):
        while (post := await self.queue.get()) is not None:
            try:
                while not await self.accepted(post):
                    pass
                self.summary.published += 1
            except aiohttp.ClientError as error:
                self.summary.failed[post.id] = str(error)

    async def accepted(self, post):
        now = asyncio.get_running_loop().time
        while (wait := self.quiet_until - now()) > 0:
            await asyncio.sleep(wait)
        async with self.session.post("/v1/posts", data=post.body) as response:
            if response.status == 429:
                self.quiet_until = now() + int(response.headers["Retry-After"])
                return False
            response.raise_for_status()
            return True


async def publish(session, posts, *, limit=20):
    return await Publisher(session, limit).run(posts)
