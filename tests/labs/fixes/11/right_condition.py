"""One Condition tells when a job has ended; a deadline of the loop's clock cancels the rest."""

import asyncio


class Jobs:
    def __init__(self, on_error):
        self._on_error, self._tasks = on_error, set()
        self._ended, self._accepts, self._due = asyncio.Condition(), True, None

    def start(self, name, factory):
        if self._accepts:
            self._tasks.add(asyncio.create_task(self._job(name, factory)))
        return self._accepts

    async def _job(self, name, factory):
        try:
            return await factory() and None
        except Exception as error:
            try:
                self._on_error(name, error)
            except Exception as second:
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "on_error failed", "exception": second}
                )
        finally:
            self._tasks.discard(asyncio.current_task())
            asyncio.get_running_loop().call_soon(self._wake)

    def _wake(self):
        task = asyncio.ensure_future(self._notify())
        self._waking = task

    async def _notify(self):
        async with self._ended:
            self._ended.notify_all()

    def _cancel(self):
        for task in self._tasks:
            task.cancel()

    async def close(self, grace):
        self._accepts = False
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(grace, self._cancel)
        async with self._ended:
            await self._ended.wait_for(lambda: not self._tasks)
        self._due.cancel()
