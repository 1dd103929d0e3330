"""A counter of jobs goes down after the handler was called: not where the handler raises."""

import asyncio


class Jobs:
    def __init__(self, on_error):
        self._on_error = on_error
        self._tasks = set()
        self._closed = False
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self, name, factory):
        if self._closed:
            return False
        self._under_way += 1
        self._idle.clear()
        task = asyncio.create_task(self._run(name, factory))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _run(self, name, factory):
        try:
            await factory()
        except asyncio.CancelledError:
            self._over()
            raise
        except Exception as error:
            self._on_error(name, error)
        self._over()

    def _over(self):
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()

    def _tell(self, name, error):
        self._on_error(name, error)

    async def close(self, grace):
        self._closed = True
        try:
            await asyncio.wait_for(self._idle.wait(), grace)
        except TimeoutError:
            pass
        for task in self._tasks:
            if not task.cancelling():
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
