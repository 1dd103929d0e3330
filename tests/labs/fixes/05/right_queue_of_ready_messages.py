"""Workers on a queue of messages that may begin; each one's end lets the next of its sender in."""

import asyncio
from collections import deque
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


async def noted(message, handle, outcome):
    try:
        outcome.replies[message.id] = await handle(message)
    except Exception as error:
        outcome.failed[message.id] = error


async def process(batch, handle, *, limit=10):
    outcome, waiting, ready = Outcome(), {}, asyncio.Queue()
    for chain in by_sender(batch):
        waiting[chain[0].sender] = deque(chain[1:])
        ready.put_nowait(chain[0])

    async def worker():
        while True:
            message = await ready.get()
            await noted(message, handle, outcome)
            if rest := waiting[message.sender]:
                ready.put_nowait(rest.popleft())
            ready.task_done()

    workers = [asyncio.create_task(worker()) for _ in range(limit)]
    try:
        await ready.join()
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return outcome
