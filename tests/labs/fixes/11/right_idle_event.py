"""A list of jobs, each an object, and an event for none of them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)


class _Job:
    def __init__(self, name, task):
        self.name, self.task, self.asked = name, task, False

    def stop(self):
        if not self.asked:
            self.asked = True
            self.task.cancel()


class Jobs:
    def __init__(self, on_error):
        self.on_error, self.jobs, self.closing = on_error, [], False
        self.idle = asyncio.Event()
        self.idle.set()

    def start(self, name, factory):
        if self.closing:
            return False

        async def body():
            await factory()

        job = _Job(name, asyncio.get_running_loop().create_task(body()))
        self.jobs.append(job)
        self.idle.clear()
        job.task.add_done_callback(lambda task: self.ended(job))
        return True

    def ended(self, job):
        self.jobs.remove(job)
        if not self.jobs:
            self.idle.set()
        if not job.task.cancelled() and (error := job.task.exception()):
            try:
                self.on_error(job.name, error)
            except Exception:
                _log.warning("told in vain", exc_info=True)

    async def close(self, grace):
        self.closing = True
        try:
            await asyncio.wait_for(self.idle.wait(), grace)
        except asyncio.TimeoutError:
            for job in self.jobs:
                job.stop()
            await self.idle.wait()
