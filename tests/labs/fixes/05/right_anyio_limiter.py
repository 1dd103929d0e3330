"""anyio: a task group, a CapacityLimiter, and a memory stream for each sender."""

import math
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


import anyio


async def process(batch, handle, *, limit=10):
    outcome, places = Outcome(), anyio.CapacityLimiter(limit)

    async def serve(stream):
        async with stream:
            async for message in stream:
                async with places:
                    try:
                        outcome.replies[message.id] = await handle(message)
                    except Exception as error:
                        outcome.failed[message.id] = error

    async with anyio.create_task_group() as group:
        lines = {}
        for message in batch:
            if message.sender not in lines:
                lines[message.sender], out = anyio.create_memory_object_stream(math.inf)
                group.start_soon(serve, out)
            lines[message.sender].send_nowait(message)
        for line in lines.values():
            line.close()
    return outcome
