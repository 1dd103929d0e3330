"""A class that keeps heads of lines, starts what may start, and waits for the first to end."""

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


class _Run:
    def __init__(self, batch, handle, limit):
        self.handle, self.limit, self.outcome = handle, limit, Outcome()
        self.lines = {}
        for message in batch:
            self.lines.setdefault(message.sender, deque()).append(message)
        self.idle, self.tasks = deque(self.lines), {}

    def fill(self):
        while self.idle and len(self.tasks) < self.limit:
            sender = self.idle.popleft()
            message = self.lines[sender].popleft()
            self.tasks[asyncio.ensure_future(self.handle(message))] = message

    def note(self, task):
        message = self.tasks.pop(task)
        if (error := task.exception()) is not None:
            self.outcome.failed[message.id] = error
        else:
            self.outcome.replies[message.id] = task.result()
        if self.lines[message.sender]:
            self.idle.append(message.sender)

    async def all(self):
        self.fill()
        try:
            while self.tasks:
                done, _ = await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self.note(task)
                self.fill()
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
        return self.outcome


async def process(batch, handle, *, limit=10):
    return await _Run(batch, handle, limit).all()
