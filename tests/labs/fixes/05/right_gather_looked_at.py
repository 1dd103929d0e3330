"""Chains in gather; each returns its results, errors as values."""

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
    places = asyncio.Semaphore(limit)

    async def chain(messages):
        found = []
        for message in messages:
            async with places:
                found += await asyncio.gather(handle(message), return_exceptions=True)
        return zip(messages, found)

    outcome, tasks = Outcome(), [asyncio.create_task(chain(one)) for one in by_sender(batch)]
    try:
        for pairs in await asyncio.gather(*tasks):
            for message, result in pairs:
                kept = outcome.failed if isinstance(result, Exception) else outcome.replies
                kept[message.id] = result
    finally:  # a cancelled gather waits for the first of its tasks only
        await asyncio.wait(tasks)
    return outcome
