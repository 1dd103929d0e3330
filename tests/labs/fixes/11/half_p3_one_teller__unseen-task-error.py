"""One task takes errors from a queue and tells them, until the handler raises."""

import asyncio


class Jobs:
    def __init__(self, on_error):
        self._on_error = on_error
        self._tasks = set()
        self._closed = False
        self._errors = asyncio.Queue()
        self._teller = asyncio.create_task(self._tells())

    def start(self, name, factory):
        if self._closed:
            return False
        task = asyncio.create_task(self._run(name, factory))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _run(self, name, factory):
        try:
            await factory()
        except Exception as error:
            self._errors.put_nowait((name, error))

    async def _tells(self):
        while True:
            self._on_error(*await self._errors.get())

    def _unused(self, name, error):
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
        await asyncio.sleep(0)
        self._teller.cancel()
