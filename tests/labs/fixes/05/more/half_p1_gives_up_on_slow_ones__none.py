"""Gives each request a quarter of a second."""

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
                    outcome.replies[message.id] = await asyncio.wait_for(handle(message), 0.25)
                except Exception as error:
                    outcome.failed[message.id] = error

    async with asyncio.TaskGroup() as group:
        for messages in by_sender(batch):
            group.create_task(chain(messages))
    return outcome
