"""Takes a cancellation for a failure of the message, and goes on."""

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


def by_sender(batch):
    chains = {}
    for message in batch:
        chains.setdefault(message.sender, []).append(message)
    return list(chains.values())


async def process(batch, handle, *, limit=10):
    outcome, places = Outcome(), asyncio.Semaphore(limit)

    async def chain(messages):
        for message in messages:
            async with places:
                try:
                    outcome.replies[message.id] = await handle(message)
                except BaseException as error:
                    outcome.failed[message.id] = error

    async with asyncio.TaskGroup() as group:
        for messages in by_sender(batch):
            group.create_task(chain(messages))
    return outcome
