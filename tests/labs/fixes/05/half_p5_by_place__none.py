"""Counts messages instead of using their ids."""

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


async def process(batch, handle, *, limit=10):
    outcome, places, locks = Outcome(), asyncio.Semaphore(limit), {}

    async def one(number, message):
        async with locks.setdefault(message.sender, asyncio.Lock()), places:
            try:
                outcome.replies[number] = await handle(message)
            except Exception as error:
                outcome.failed[number] = error

    async with asyncio.TaskGroup() as group:
        for number, message in enumerate(batch):
            group.create_task(one(number, message))
    return outcome
