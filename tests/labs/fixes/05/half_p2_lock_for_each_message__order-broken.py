"""A lock that is made for each message."""

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
    outcome, places = Outcome(), asyncio.Semaphore(limit)

    async def one(message):
        async with asyncio.Lock(), places:
            await noted(message, handle, outcome)

    async with asyncio.TaskGroup() as group:
        for message in batch:
            group.create_task(one(message))
    return outcome
