"""A done callback tells the error; the coroutine of the job is the task itself."""

import asyncio
import logging


class Jobs:
    def __init__(self, on_error):
        self._on_error = on_error
        self._tasks = set()
        self._closed = False

    def start(self, name, factory):
        if self._closed:
            return False
        task = asyncio.create_task(self._run(name, factory))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._over(name, task))
        return True

    def _over(self, name, task):
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._tell(name, error)

    async def _run(self, name, factory):
        await factory()

    def _tell(self, name, error):
        try:
            self._on_error(name, error)
        except Exception:
            logging.getLogger(__name__).exception("on_error failed for %r", name)

    async def close(self, grace):
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            if not task.cancelling():
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
