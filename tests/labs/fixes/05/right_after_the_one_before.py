"""Each task waits for the task of its sender's message before."""

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
    outcome, places, last = Outcome(), asyncio.Semaphore(limit), {}

    async def one(message, before):
        if before is not None:
            await asyncio.wait([before])
        async with places:
            await noted(message, handle, outcome)

    async with asyncio.TaskGroup() as group:
        for message in batch:
            last[message.sender] = group.create_task(one(message, last.get(message.sender)))
    return outcome
