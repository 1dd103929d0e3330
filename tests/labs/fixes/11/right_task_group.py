"""A TaskGroup in a task of its own; nothing that could end it comes out of a job."""

import asyncio
import contextlib


class Jobs:
    def __init__(self, on_error):
        self._on_error = on_error
        self._closed = False
        self._group = asyncio.TaskGroup()
        self._jobs = set()
        self._end = asyncio.Event()
        self._waiting = []
        self._keeper = asyncio.create_task(self._keep())

    async def _keep(self):
        async with self._group:
            while True:
                waiting, self._waiting = self._waiting, None
                for name, factory in waiting:
                    self._begin(name, factory)
                break
            await self._end.wait()

    def start(self, name, factory):
        if self._closed:
            return False
        if self._waiting is not None:
            self._waiting.append((name, factory))
        else:
            self._begin(name, factory)
        return True

    def _begin(self, name, factory):
        task = self._group.create_task(self._run(name, factory))
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def _run(self, name, factory):
        try:
            await factory()
        except Exception as error:
            with contextlib.suppress(Exception):
                self._on_error(name, error)

    async def close(self, grace):
        self._closed = True
        self._end.set()
        await asyncio.wait([self._keeper], timeout=grace)
        for task in self._jobs:
            if not task.cancelling():
                task.cancel()
        await asyncio.wait([self._keeper])
