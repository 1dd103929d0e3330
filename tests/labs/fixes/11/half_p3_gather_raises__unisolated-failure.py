"""What on_error raises comes out of close, by way of gather."""

import asyncio


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
        task.add_done_callback(self._over)
        return True

    def _over(self, task):
        if task.cancelled() or not task.exception():
            self._tasks.discard(task)

    async def _run(self, name, factory):
        try:
            await factory()
        except Exception as error:
            self._tell(name, error)

    def _tell(self, name, error):
        self._on_error(name, error)

    async def close(self, grace):
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            if not task.cancelling():
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        tasks, self._tasks = self._tasks, set()
        await asyncio.gather(*(task for task in tasks if not task.cancelled()))
