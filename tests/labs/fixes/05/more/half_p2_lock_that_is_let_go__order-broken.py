"""Holds the sender's lock only to start the request."""

import asyncio
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Message:
    id: int
    sender: str
    text: str | None


@dataclass
class Outcome:
    replies: dict = field(default_factory=dict)
    failed: dict = field(default_factory=dict)


async def noted(message, handle, outcome):
    try:
        outcome.replies[message.id] = await handle(message)
    except Exception as error:
        outcome.failed[message.id] = error


async def process(batch, handle, *, limit=10):
    outcome, places, locks = Outcome(), asyncio.Semaphore(limit), {}

    async def one(message, group):
        async with locks.setdefault(message.sender, asyncio.Lock()):
            await places.acquire()
            task = group.create_task(noted(message, handle, outcome))
            task.add_done_callback(lambda _: places.release())

    async with asyncio.TaskGroup() as group:
        for message in batch:
            group.create_task(one(message, group))
    return outcome
