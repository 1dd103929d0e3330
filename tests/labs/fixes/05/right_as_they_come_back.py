"""One task starts requests as places come back, and reads what each raised."""

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
    outcome, waiting, running = Outcome(), list(batch), {}
    try:
        while waiting or running:
            busy = {one.sender for one in running.values()}
            for message in list(waiting):
                if len(running) < limit and message.sender not in busy:
                    waiting.remove(message)
                    running[asyncio.create_task(handle(message))] = message
                busy.add(message.sender)  # what comes later has to wait for it
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                message = running.pop(task)
                if task.exception() is None:
                    outcome.replies[message.id] = task.result()
                else:
                    outcome.failed[message.id] = task.exception()
    finally:
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
    return outcome
