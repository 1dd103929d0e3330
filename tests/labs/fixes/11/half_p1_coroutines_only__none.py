"""The factory is called at once, and only a coroutine becomes a task."""

import asyncio
import logging


class Jobs:
    def __init__(self, on_error):
        self._on_error, self._tasks, self._closed = on_error, set(), False

    def start(self, name, factory):
        if self._closed:
            return False
        task = asyncio.create_task(factory())
        task.add_done_callback(
            lambda it: it.cancelled() or it.exception() is None or self._tell(name, it.exception())
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _run(self, name, factory):
        try:
            await factory()
        except Exception as error:
            self._tell(name, error)

    def _tell(self, name, error):
        try:
            self._on_error(name, error)
        except Exception:
            logging.getLogger(__name__).exception("on_error failed")

    async def close(self, grace):
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            if not task.cancelling():
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
