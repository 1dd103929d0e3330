"""As many workers as places; each takes a sender's messages to their end."""

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


async def noted(message, handle, outcome):
    try:
        outcome.replies[message.id] = await handle(message)
    except Exception as error:
        outcome.failed[message.id] = error


async def process(batch, handle, *, limit=10):
    outcome, chains = Outcome(), iter(by_sender(batch))

    async def worker():
        for chain in chains:
            for message in chain:
                await noted(message, handle, outcome)

    async with asyncio.TaskGroup() as group:
        for _ in range(limit):
            group.create_task(worker())
    return outcome
