"""A dict of tasks by name: the second job of a name takes the place of the first."""

import asyncio
import logging


class Jobs:
    def __init__(self, on_error):
        self._on_error = on_error
        self._tasks = {}
        self._closed = False

    def start(self, name, factory):
        if self._closed:
            return False
        task = asyncio.create_task(self._run(name, factory))
        self._tasks[name] = task
        task.add_done_callback(lambda task: self._over(name, task))
        return True

    def _over(self, name, task):
        if self._tasks.get(name) is task:
            del self._tasks[name]

    async def _run(self, name, factory):
        try:
            await factory()
        except Exception as error:
            self._tell(name, error)

    def _tell(self, name, error):
        try:
            self._on_error(name, error)
        except Exception:
            logging.getLogger(__name__).exception("on_error failed for %r", name)

    async def close(self, grace):
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=grace)
        for task in self._tasks.values():
            if not task.cancelling():
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values())
