"""A task group of anyio in a task of its own, with a cancel scope for each job."""

import asyncio
import logging

import anyio


class Jobs:
    def __init__(self, on_error):
        self._on_error = on_error
        self._closed, self._scopes = False, set()
        self._last, self._cancelled = anyio.Event(), False
        self._tasks = set()

    def start(self, name, factory):
        if self._closed:
            return False
        scope = anyio.CancelScope()
        self._scopes.add(scope)
        task = asyncio.get_running_loop().create_task(self._run(scope, name, factory))
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return True

    def _over(self, task):
        self._tasks.remove(task)
        if self._closed and not self._tasks:
            self._last.set()

    async def _run(self, scope, name, factory):
        task = asyncio.create_task(self._told(name, factory))
        try:
            with scope:
                await asyncio.wait([task])
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        finally:
            self._scopes.discard(scope)

    async def _told(self, name, factory):
        try:
            await factory()
        except Exception as error:
            try:
                self._on_error(name, error)
            except Exception:
                logging.getLogger(__name__).exception("on_error failed for %r", name)

    async def close(self, grace):
        self._closed = True
        if not self._tasks:
            return
        with anyio.move_on_after(grace):
            await self._last.wait()
        if not self._cancelled:
            self._cancelled = True
            for scope in self._scopes:
                scope.cancel()
        await self._last.wait()
