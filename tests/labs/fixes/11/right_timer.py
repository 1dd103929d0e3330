"""The grace is a timer that cancels; close only waits."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)


class Jobs:
    """The grace is a timer: it cancels, close only waits."""

    def __init__(self, on_error):
        self._tell, self._tasks, self._timer = on_error, set(), None

    def start(self, name, factory):
        if self._timer is not None:
            return False
        task = asyncio.create_task(self._run(name, factory))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.remove)
        return True

    async def _run(self, name, factory):
        try:
            await factory()
        except Exception as error:
            try:
                self._tell(name, error)
            except Exception:
                _log.exception(name)

    def _cancel(self):
        for task in tuple(self._tasks):
            task.cancel()

    async def close(self, grace):
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(grace, self._cancel)
        while self._tasks:
            await asyncio.sleep(0.02)
        self._timer.cancel()
