"""Lab 04, solved: as many workers as the service has places, and a queue that makes the source wait.

Four changes. `limit` workers share one small queue, so there are `limit` requests at most and never
more tasks, and `put` waits when the queue is full, so that posts are fetched as they are needed.
What happens to a post is written down where it happens. A 429 makes its worker wait as long as the
service asked, which is also what slows the sending down. And a TaskGroup owns the workers: when
`posts` fails or `publish` is cancelled, they end first.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp

TOO_MANY_REQUESTS = 429


@dataclass(frozen=True)
class Post:
    """A post that is due: `body` is what the service wants to get."""

    id: int
    body: bytes


@dataclass
class Summary:
    """What became of the posts: how many were accepted, and why the others were not, by id."""

    published: int = 0
    failed: dict[int, str] = field(default_factory=dict)


async def publish(
    session: aiohttp.ClientSession, posts: AsyncIterator[Post], *, limit: int = 20
) -> Summary:
    """Publish all posts, `limit` at a time.

    Raises:
        ExceptionGroup: `posts` raised; what was in flight is cancelled.
    """
    summary = Summary()
    # As long as the limit: a worker that is done finds the next post waiting.
    queue: asyncio.Queue[Post | None] = asyncio.Queue(maxsize=limit)

    async def work() -> None:
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


async def publish_one(session: aiohttp.ClientSession, post: Post, summary: Summary) -> None:
    """Publish one post and note what became of it."""
    try:
        await send(session, post)
    except (aiohttp.ClientError, TimeoutError) as error:
        # Noted here and not raised: in a TaskGroup, an error that gets out cancels all the others.
        summary.failed[post.id] = f"{type(error).__name__}: {error}"
    else:
        summary.published += 1


async def send(session: aiohttp.ClientSession, post: Post) -> None:
    """Send the post until the service takes it or turns it away for good."""
    while True:
        async with session.post("/v1/posts", data=post.body) as response:
            if response.status != TOO_MANY_REQUESTS:
                response.raise_for_status()
                return
            wait = float(response.headers["Retry-After"])
        # Outside of the request, which has given its connection back.
        await asyncio.sleep(wait)
