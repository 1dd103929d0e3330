"""Lab 05, solved: a task for each sender, and one semaphore for all.

A task awaits its sender's messages in a `for`: that is the order. It catches what a message raises around
that message, so the task group never sees it, and ends all of its tasks when it is cancelled.
"""

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


async def process(
    batch: Sequence[Message], handle: Callable[[Message], Awaitable[str]], *, limit: int = 10
) -> Outcome:
    """Handle all messages of a batch, `limit` at a time."""
    outcome, places = Outcome(), asyncio.Semaphore(limit)
    chains: dict[str, list[Message]] = {}
    for message in batch:
        chains.setdefault(message.sender, []).append(message)

    async def in_order(messages: list[Message]) -> None:
        for message in messages:
            async with places:
                try:
                    outcome.replies[message.id] = await handle(message)
                except Exception as error:
                    outcome.failed[message.id] = error

    async with asyncio.TaskGroup() as group:
        for messages in chains.values():
            group.create_task(in_order(messages))
    return outcome
