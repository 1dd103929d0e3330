"""A job that is cancelled begins again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)


class Jobs:
    """Work in the background; `on_error(name, error)` is told of each job that fails."""

    def __init__(self, on_error: Callable[[str, BaseException], object]) -> None:
        self._on_error = on_error
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self, name: str, factory: Callable[[], Awaitable[object]]) -> bool:
        """Start a job, unless closed; return whether it was started."""
        if self._closed:
            return False
        task = asyncio.create_task(self._run(name, factory), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _run(self, name: str, factory: Callable[[], Awaitable[object]]) -> None:
        try:
            await factory()
        except asyncio.CancelledError:
            await factory()
        except Exception as error:
            try:
                self._on_error(name, error)
            except Exception:
                _log.exception("on_error failed for the job %r", name)

    async def close(self, grace: float) -> None:
        """Let jobs end for up to `grace` seconds, then cancel the rest and wait for their clean-up."""
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            if not task.cancelling():  # by another call of close: its clean-up is under way
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
