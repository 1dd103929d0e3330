"""As many workers as there are places, on one small queue."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

__all__ = ["workforce"]

T = TypeVar("T")


async def workforce(
    work: Callable[[T], Awaitable[Any]], items: AsyncIterator[T], limit: int
) -> None:
    """Await `work(item)` for each item, `limit` of them at a time.

    Raises:
        ExceptionGroup: `work` or `items` raised; everything else is cancelled.
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
