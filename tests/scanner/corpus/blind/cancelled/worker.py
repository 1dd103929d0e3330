"""A worker that takes jobs until it is told to stop."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)
Job = Callable[[], Awaitable[None]]


class Worker:
    def __init__(self) -> None:
        self.jobs: asyncio.Queue[Job] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())  # clean: kept on the instance

    async def _run(self) -> None:
        while True:
            job = await self.jobs.get()  # clean: an asyncio queue
            try:
                await job()
            except:  # noqa: E722  # expect: swallowed-cancellation
                log.exception("job failed")

    async def run_careful(self) -> None:
        while True:
            job = await self.jobs.get()
            try:
                await job()
            except Exception:  # clean: cancellation is no Exception
                log.exception("job failed")

    async def stop(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):  # clean: this task was just cancelled here
            await self._task

    async def stop_loudly(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        try:
            await self._task
        except asyncio.CancelledError:  # clean: this task was just cancelled here
            log.info("stopped")


async def once(job: Job) -> bool:
    try:
        await job()
    except BaseException:  # expect: swallowed-cancellation
        return False
    return True


async def warned(job: Job) -> None:
    try:
        await job()
    except asyncio.CancelledError:  # expect: swallowed-cancellation
        log.warning("cancelled")


async def cleanly(job: Job, clean: Job) -> None:
    try:
        await job()
    except asyncio.CancelledError:  # clean: raised again
        await clean()
        raise


async def rolled_back(job: Job, undo: Callable[[], None]) -> None:
    try:
        await job()
    except BaseException:  # clean: raised again
        undo()
        raise


async def quiet(job: Job) -> None:
    with contextlib.suppress(BaseException):  # expect: swallowed-cancellation
        await job()


async def quiet_enough(job: Job) -> None:
    with contextlib.suppress(ConnectionError):  # clean: not cancellation
        await job()


def load(text: str) -> int | None:
    try:
        return int(text)
    except:  # noqa: E722  # clean: nothing is awaited in a plain function
        return None


async def poll(read: Callable[[], Awaitable[bytes]]) -> None:
    while True:
        try:
            await read()
        except (asyncio.CancelledError, ConnectionError):  # expect: swallowed-cancellation
            continue
