"""The diff that everybody writes."""

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
    replies = await asyncio.gather(*map(handle, batch))
    return Outcome({message.id: reply for message, reply in zip(batch, replies)})
