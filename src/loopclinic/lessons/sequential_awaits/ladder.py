"""The batch handler of lesson 05 in four versions ("rungs"), from one after another to a chain for each sender.

Each is `async def rung(batch, handle, *, limit)`; messages have an `id`, a `sender` and a `text`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Handle = Callable[[Any], Awaitable[Any]]

COSTS = {
    "one_by_one": "everybody waits for everybody before",
    "gathered": "order, limit, and all replies when one message fails",
    "chains": "a task for each sender; a place for each message",
    "whole_chains": "with few places, whoever wrote little waits for whoever wrote much",
}
"""What each rung costs, in words."""


async def one_by_one(batch: Sequence[Any], handle: Handle, *, limit: int = 1) -> None:
    """Await one after another: the anti-pattern."""
    del limit
    for message in batch:
        await handle(message)


async def gathered(batch: Sequence[Any], handle: Handle, *, limit: int = 0) -> list[Any]:
    """Start everything at once: rung 1."""
    del limit
    return await asyncio.gather(*(handle(message) for message in batch))


async def chains(batch: Sequence[Any], handle: Handle, *, limit: int = 10) -> dict[int, Any]:
    """Give each sender a task, all of them one limit, and keep each failure where it happens: rung 2."""
    failed: dict[int, Any] = {}
    places, lists = asyncio.Semaphore(limit), dict[str, list[Any]]()
    for message in batch:
        lists.setdefault(message.sender, []).append(message)

    async def in_order(messages: list[Any]) -> None:
        for message in messages:
            async with places:
                try:
                    await handle(message)
                except Exception as error:
                    failed[message.id] = error

    async with asyncio.TaskGroup() as group:
        for sender, messages in lists.items():
            group.create_task(in_order(messages), name=sender)
    return failed


async def whole_chains(batch: Sequence[Any], handle: Handle, *, limit: int = 10) -> dict[int, Any]:
    """Give each sender a place for all of their messages, the longest chain first: rung 3."""
    failed: dict[int, Any] = {}
    places, lists = asyncio.Semaphore(limit), dict[str, list[Any]]()
    for message in batch:
        lists.setdefault(message.sender, []).append(message)

    async def in_order(messages: list[Any]) -> None:
        async with places:
            failed.update(await chains(messages, handle, limit=1))

    async with asyncio.TaskGroup() as group:
        for messages in sorted(lists.values(), key=len, reverse=True):
            group.create_task(in_order(messages))
    return failed
