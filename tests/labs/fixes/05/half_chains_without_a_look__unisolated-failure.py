"""Chains in gather: a failure ends its chain, and is dropped."""

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
                outcome.replies[message.id] = await handle(message)

    await asyncio.gather(*map(chain, by_sender(batch)), return_exceptions=True)
    return outcome
