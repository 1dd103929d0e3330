"""The publisher of lesson 04 in five versions ("rungs"), from gather to workers that honor Retry-After.

Each is a publisher: `async def rung(session, posts, *, limit)`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import aiohttp

from loopclinic.lessons.unbounded_gather.posts import DuePost

T = TypeVar("T")
Posts = AsyncIterator[DuePost]

COSTS = {
    "publish_all": "the service, first of all",
    "own_semaphore": "the same, behind a line that looks like a limit",
    "one_semaphore": "a task and a post in memory for everything that is due",
    "workers": "a queue and an end marker; failures are still lost",
    "polite": "a place that waits while a refused post does",
}
"""What each rung costs, in words."""


async def publish_one(session: aiohttp.ClientSession, post: DuePost) -> None:
    """Send a post once; aiohttp.ClientError says that the service did not take it."""
    async with session.post("/v1/posts", data=post.body) as response:
        response.raise_for_status()


async def publish_all(
    session: aiohttp.ClientSession, posts: Posts, *, limit: int | None = None
) -> None:
    """Start everything at once: the anti-pattern."""
    del limit
    jobs = [publish_one(session, post) async for post in posts]
    await asyncio.gather(*jobs, return_exceptions=True)


async def own_semaphore(session: aiohttp.ClientSession, posts: Posts, *, limit: int) -> None:
    """Give each post a semaphore of its own, which limits nothing."""

    async def limited(post: DuePost) -> None:
        async with asyncio.Semaphore(limit):
            await publish_one(session, post)

    jobs = [limited(post) async for post in posts]
    await asyncio.gather(*jobs, return_exceptions=True)


async def one_semaphore(session: aiohttp.ClientSession, posts: Posts, *, limit: int) -> None:
    """Share one semaphore: rung 1."""
    semaphore = asyncio.Semaphore(limit)

    async def limited(post: DuePost) -> None:
        async with semaphore:
            await publish_one(session, post)

    jobs = [limited(post) async for post in posts]
    await asyncio.gather(*jobs, return_exceptions=True)


async def workers(session: aiohttp.ClientSession, posts: Posts, *, limit: int) -> None:
    """Let few workers take posts from a small queue: rung 2."""
    await workforce(lambda post: publish_one(session, post), posts, limit)


async def workforce(
    work: Callable[[T], Awaitable[Any]], items: AsyncIterator[T], limit: int
) -> None:
    """Await `work(item)` for each item, `limit` of them at a time, by workers on a small queue.

    Raises an ExceptionGroup if `work` or `items` raised; everything else is cancelled then.
    """
    queue: asyncio.Queue[T | None] = asyncio.Queue(limit)

    async def worker() -> None:
        while (item := await queue.get()) is not None:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(limit):
            group.create_task(worker())
        async for item in items:
            await queue.put(item)
        for _ in range(limit):
            await queue.put(None)


async def patient(session: aiohttp.ClientSession, post: DuePost) -> None:
    """Send a refused post again when the service asked for it."""
    while True:
        async with session.post("/v1/posts", data=post.body) as response:
            if response.status != 429:  # too many requests
                response.raise_for_status()
                return
            wait = float(response.headers["Retry-After"])
        await asyncio.sleep(wait)


async def polite(session: aiohttp.ClientSession, posts: Posts, *, limit: int) -> dict[str, Any]:
    """Publish as `workers`, honor Retry-After, and return what became of each post: rung 3."""
    summary: dict[str, Any] = {"published": 0, "failed": {}}

    async def noted(post: DuePost) -> None:
        try:
            await patient(session, post)
            summary["published"] += 1
        except aiohttp.ClientError as error:
            summary["failed"][post.id] = str(error)

    await workforce(noted, posts, limit)
    return summary
