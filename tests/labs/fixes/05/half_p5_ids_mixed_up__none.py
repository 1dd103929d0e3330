"""as_completed yields in the order of the ends, not of the batch."""

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

    async def one(message):
        async with locks.setdefault(message.sender, asyncio.Lock()), places:
            try:
                return await handle(message)
            except Exception as error:
                return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(message)) for message in batch]
        for message, task in zip(batch, asyncio.as_completed(tasks)):
            result = await task
            kept = outcome.failed if isinstance(result, Exception) else outcome.replies
            kept[message.id] = result
    return outcome
