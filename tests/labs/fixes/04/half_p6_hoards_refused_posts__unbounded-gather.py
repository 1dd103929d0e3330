"""Posts that were answered 429 are put aside, and more are taken meanwhile, without a bound."""

import asyncio
import heapq
from dataclasses import dataclass, field

import aiohttp


@dataclass
class Summary:
    published: int = 0
    failed: dict[int, str] = field(default_factory=dict)


async def publish(session, posts, *, limit=20):
    summary = Summary()
    loop = asyncio.get_running_loop()
    later = []
    running = {}
    source = aiter(posts)
    more = True
    try:
        while more or later or running:
            while len(running) < limit:
                if later and later[0][0] <= loop.time():
                    post = heapq.heappop(later)[2]
                elif more:
                    post = await anext(source, None)
                    if post is None:
                        more = False
                        continue
                else:
                    break
                running[asyncio.create_task(send(session, post))] = post
            pause = max(0.0, later[0][0] - loop.time()) if later else None
            if not running:
                if pause is not None:
                    await asyncio.sleep(pause)
                continue
            done, _ = await asyncio.wait(
                running,
                timeout=pause if len(running) < limit else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                post = running.pop(task)
                try:
                    wait = task.result()
                except (aiohttp.ClientError, TimeoutError) as error:
                    summary.failed[post.id] = repr(error)
                else:
                    if wait is None:
                        summary.published += 1
                    else:
                        heapq.heappush(later, (loop.time() + wait, post.id, post))
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return summary


async def send(session, post):
    async with session.post("/v1/posts", data=post.body) as response:
        if response.status == 429:
            return int(response.headers["Retry-After"])
        response.raise_for_status()
        return None
