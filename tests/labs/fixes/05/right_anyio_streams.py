"""A memory stream of anyio and its reader for each sender."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Message:
    """What a sender wrote; None for an event without a text."""

    id: int
    sender: str
    text: str | None


@dataclass
class Outcome:
    """What became of a batch, by message id."""

    replies: dict[int, str] = field(default_factory=dict)
    failed: dict[int, Exception] = field(default_factory=dict)


import anyio


async def process(
    batch: Sequence[Message], handle: Callable[[Message], Awaitable[str]], *, limit: int = 10
) -> Outcome:
    """One stream for each sender, one reader for each stream."""
    outcome, slots = Outcome(), anyio.Semaphore(limit)

    async def read(stream):
        async with stream:
            async for message in stream:
                async with slots:
                    try:
                        outcome.replies[message.id] = await handle(message)
                    except Exception as error:
                        outcome.failed[message.id] = error

    async with anyio.create_task_group() as group:
        senders = {}
        for message in batch:
            if message.sender not in senders:
                send, receive = anyio.create_memory_object_stream(float("inf"))
                senders[message.sender] = send
                group.start_soon(read, receive)
            senders[message.sender].send_nowait(message)
        for send in senders.values():
            send.close()
    return outcome
