"""A counter and an event say when the last job has ended; a dict by number holds the tasks."""

import asyncio
import contextlib
import itertools
import sys


class Jobs:
    def __init__(self, on_error):
        self._on_error = on_error
        self._numbers, self._running = itertools.count(), {}
        self._open, self._idle = True, asyncio.Event()
        self._idle.set()
        self._cancelled = False

    def start(self, name, factory):
        if self._open:
            number = next(self._numbers)
            self._idle.clear()
            self._running[number] = asyncio.ensure_future(self._run(number, name, factory))
        return self._open

    async def _run(self, number, name, factory):
        try:
            await factory()
        except Exception as error:
            try:
                self._on_error(name, error)
            except Exception as other:
                print(name, other, file=sys.stderr)
        finally:
            del self._running[number]
            if not self._running:
                self._idle.set()

    async def close(self, grace):
        self._open = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._idle.wait()
        if not self._cancelled:
            self._cancelled = True
            for task in list(self._running.values()):
                task.cancel()
        await self._idle.wait()
