"""A dispatcher begins what may begin whenever a request ends; no semaphore, no chain."""

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


class Dispatcher:
    def __init__(self, batch, handle, limit):
        self.batch, self.handle, self.limit = list(batch), handle, limit
        self.busy, self.tasks, self.outcome = set(), {}, Outcome()
        self.done = asyncio.get_running_loop().create_future()

    def pump(self):
        seen = set(self.busy)
        for message in list(self.batch):
            if len(self.tasks) >= self.limit:
                break
            if message.sender in seen:
                continue
            seen.add(message.sender)
            self.busy.add(message.sender)
            self.batch.remove(message)
            task = asyncio.ensure_future(self.handle(message))
            self.tasks[task] = message
            task.add_done_callback(self.ended)
        if not self.tasks and not self.done.done():
            self.done.set_result(None)

    def ended(self, task):
        message = self.tasks.pop(task)
        self.busy.discard(message.sender)
        if task.cancelled():
            if not self.tasks and not self.done.done():
                self.done.set_result(None)
            return
        if task.exception() is None:
            self.outcome.replies[message.id] = task.result()
        else:
            self.outcome.failed[message.id] = task.exception()
        if not self.stopped:
            self.pump()

    stopped = False


async def process(
    batch: Sequence[Message], handle: Callable[[Message], Awaitable[str]], *, limit: int = 10
) -> Outcome:
    one = Dispatcher(batch, handle, limit)
    one.pump()
    try:
        await asyncio.shield(one.done)
    except asyncio.CancelledError:
        one.stopped = True
        for task in list(one.tasks):
            task.cancel()
        if one.tasks:
            await asyncio.wait(list(one.tasks))
        raise
    return one.outcome
