"""A message waits a second at most for the one before it."""

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
    outcome, places = Outcome(), asyncio.Semaphore(limit)
    tails = {}

    async def one(message, before):
        if before is not None:
            await asyncio.wait([before], timeout=1.0)
        async with places:
            try:
                outcome.replies[message.id] = await handle(message)
            except Exception as error:
                outcome.failed[message.id] = error

    async with asyncio.TaskGroup() as group:
        for message in batch:
            before = tails.get(message.sender)
            tails[message.sender] = group.create_task(one(message, before))
    return outcome
