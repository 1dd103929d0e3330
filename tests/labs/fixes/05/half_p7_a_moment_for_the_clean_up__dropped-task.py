"""Cancelled, it gives its requests a twentieth of a second to end."""

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
    outcome, places, chains = Outcome(), asyncio.Semaphore(limit), {}
    for message in batch:
        chains.setdefault(message.sender, []).append(message)

    async def chain(messages):
        for message in messages:
            async with places:
                try:
                    outcome.replies[message.id] = await handle(message)
                except Exception as error:
                    outcome.failed[message.id] = error

    tasks = [asyncio.create_task(chain(one)) for one in chains.values()]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=0.05)
        raise
    return outcome
