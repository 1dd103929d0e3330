"""A task for each message, which waits on one Condition until it is its turn."""

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
    outcome, changed = Outcome(), asyncio.Condition()
    busy, lines = set(), {}
    for message in batch:
        lines.setdefault(message.sender, []).append(message)

    def may(message):
        first = lines[message.sender][0] is message
        return first and message.sender not in busy and len(busy) < limit

    async def one(message):
        async with changed:
            await changed.wait_for(lambda: may(message))
            busy.add(message.sender)
        try:
            outcome.replies[message.id] = await handle(message)
        except Exception as error:
            outcome.failed[message.id] = error
        finally:
            busy.discard(message.sender)
            lines[message.sender].pop(0)
            async with changed:
                changed.notify_all()

    async with asyncio.TaskGroup() as group:
        for message in batch:
            group.create_task(one(message))
    return outcome
