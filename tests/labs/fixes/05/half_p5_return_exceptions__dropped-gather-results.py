"""gather returns the errors, and nobody looks at them."""

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
    outcome, places, locks = Outcome(), asyncio.Semaphore(limit), {}

    async def one(message):
        async with locks.setdefault(message.sender, asyncio.Lock()), places:
            outcome.replies[message.id] = await handle(message)

    await asyncio.gather(*map(one, batch), return_exceptions=True)
    return outcome
