"""A dict of events: each job is known by its task's done callback, and close waits on a barrier of its own."""

import asyncio
import logging


class Jobs:
    def __init__(self, on_error):
        self._on_error, self._live, self._closing = on_error, {}, None

    def start(self, name, factory):
        if self._closing is not None:
            return False
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._shell(name, factory))
        self._live[id(task)] = task
        task.add_done_callback(lambda task: self._live.pop(id(task)))
        return True

    async def _shell(self, name, factory):
        try:
            await factory()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._tell(name, error)

    def _tell(self, name, error):
        try:
            self._on_error(name, error)
        except BaseException:
            logging.getLogger("jobs").exception("on_error")

    async def close(self, grace):
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._shut(grace))
        await asyncio.shield(self._closing)

    async def _shut(self, grace):
        live = list(self._live.values())
        if not live:
            return
        _, late = await asyncio.wait(live, timeout=grace)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
