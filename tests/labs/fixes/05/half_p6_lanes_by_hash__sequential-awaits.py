"""As many lanes as there are places, and a sender's lane by a hash of the name, as queues are partitioned."""

import asyncio
import zlib
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
    outcome = Outcome()
    lanes = [[] for _ in range(limit)]
    for message in batch:
        lanes[zlib.crc32(message.sender.encode()) % limit].append(message)

    async def lane(messages):
        for message in messages:
            try:
                outcome.replies[message.id] = await handle(message)
            except Exception as error:
                outcome.failed[message.id] = error

    async with asyncio.TaskGroup() as group:
        for messages in lanes:
            group.create_task(lane(messages))
    return outcome
