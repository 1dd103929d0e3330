"""An iterator of outcomes: what is sent, and what becomes of the answers, are two things."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

import aiohttp


@dataclass
class Summary:
    published: int = 0
    failed: dict[int, str] = field(default_factory=dict)


class BoundedMap:
    """`async for (item, outcome) in BoundedMap(function, items, limit)`, in order of completion."""

    def __init__(self, function, items, limit):
        self.function, self.items, self.limit = function, items, limit
        self.running = {}
        self.ready = deque()
        self.more = True

    def __aiter__(self):
        return self

    async def __anext__(self):
        while not self.ready:
            while self.more and len(self.running) < self.limit:
                try:
                    item = await anext(self.items)
                except StopAsyncIteration:
                    self.more = False
                else:
                    self.running[asyncio.ensure_future(self.function(item))] = item
            if not self.running:
                raise StopAsyncIteration
            done, _ = await asyncio.wait(self.running, return_when=asyncio.FIRST_COMPLETED)
            self.ready.extend((self.running.pop(task), task) for task in done)
        return self.ready.popleft()

    async def aclose(self):
        for task in self.running:
            task.cancel()
        if self.running:
            await asyncio.wait(self.running)


async def publish(session, posts, *, limit=20):
    summary = Summary()
    outcomes = BoundedMap(lambda post: send(session, post), posts, limit)
    try:
        async for post, task in outcomes:
            if (error := task.exception()) is None:
                summary.published += 1
            elif isinstance(error, aiohttp.ClientError):
                summary.failed[post.id] = str(error)
            else:
                raise error
    finally:
        await outcomes.aclose()
    return summary


async def send(session, post):
    async with session.post("/v1/posts", data=post.body) as response:
        if response.status == 429:
            wait = float(response.headers["Retry-After"])
        else:
            response.raise_for_status()
            return
    await asyncio.sleep(wait)
    await send(session, post)
