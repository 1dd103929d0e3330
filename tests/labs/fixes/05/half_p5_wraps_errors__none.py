"""Failures come back as new exceptions, with the old one inside."""

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


class HandlingError(Exception):
    pass


async def process(batch, handle, *, limit=10):
    outcome, places, chains = Outcome(), asyncio.Semaphore(limit), {}
    for message in batch:
        chains.setdefault(message.sender, []).append(message)

    async def chain(messages):
        for message in messages:
            async with places:
                try:
                    outcome.replies[message.id] = await handle(message)
                except Exception as error:
                    wrapped = HandlingError(str(error))
                    wrapped.__cause__ = error
                    outcome.failed[message.id] = wrapped

    async with asyncio.TaskGroup() as group:
        for messages in chains.values():
            group.create_task(chain(messages))
    return outcome
