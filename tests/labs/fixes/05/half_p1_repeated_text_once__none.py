"""Takes a text that a sender repeats for a second delivery."""

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


def first_of_each_text(messages):
    texts = [one.text for one in messages]
    return [one for place, one in enumerate(messages) if one.text not in texts[:place]]


async def process(batch, handle, *, limit=10):
    outcome, places = Outcome(), asyncio.Semaphore(limit)

    async def chain(messages):
        for message in first_of_each_text(messages):
            async with places:
                await noted(message, handle, outcome)

    async with asyncio.TaskGroup() as group:
        for messages in by_sender(batch):
            group.create_task(chain(messages))
    return outcome
