"""An empty reply counts as none."""

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
    chains = {}
    for message in batch:
        chains.setdefault(message.sender, []).append(message)

    async def in_order(messages):
        for message in messages:
            async with places:
                try:
                    if reply := await handle(message):
                        outcome.replies[message.id] = reply
                except Exception as error:
                    outcome.failed[message.id] = error

    async with asyncio.TaskGroup() as group:
        for messages in chains.values():
            group.create_task(in_order(messages))
    return outcome
