"""The semaphore is made once, with the limit of the first batch."""

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


_places = None


async def process(batch, handle, *, limit=10):
    global _places
    if _places is None:
        _places = asyncio.Semaphore(limit)
    outcome, chains = Outcome(), {}
    for message in batch:
        chains.setdefault(message.sender, []).append(message)

    async def chain(messages):
        for message in messages:
            async with _places:
                try:
                    outcome.replies[message.id] = await handle(message)
                except Exception as error:
                    outcome.failed[message.id] = error

    async with asyncio.TaskGroup() as group:
        for messages in chains.values():
            group.create_task(chain(messages))
    return outcome
