import asyncio
import weakref
from collections.abc import Coroutine
from typing import Any


class Notifier:
    """Sends mail in the background."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._by_user: weakref.WeakValueDictionary[str, asyncio.Task[Any]] = (
            weakref.WeakValueDictionary()
        )

    async def _mail(self, user: str, body: str) -> None:
        await asyncio.sleep(0.1)

    async def _audit(self, user: str) -> bool:
        await asyncio.sleep(0)
        return True

    async def notify(self, user: str, body: str) -> None:
        asyncio.create_task(self._mail(user, body))  # expect: dropped-task

    async def notify_kept(self, user: str, body: str) -> None:
        task = asyncio.create_task(self._mail(user, body))  # clean: kept until it is done
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def notify_all(self, users: list[str], body: str) -> None:
        async with asyncio.TaskGroup() as group:
            for user in users:
                group.create_task(self._mail(user, body))  # clean: the group keeps it

    async def notify_soon(self, user: str, body: str) -> None:
        loop = asyncio.get_running_loop()
        loop.create_task(self._mail(user, body))  # expect: dropped-task

    async def notify_later(self, user: str, body: str) -> None:
        asyncio.ensure_future(self._mail(user, body))  # expect: dropped-task

    async def notify_and_forget(self, user: str, body: str) -> None:
        self._mail(user, body)  # expect: unawaited-coroutine

    def on_signup(self, user: str) -> None:
        self._mail(user, "welcome")  # expect: unawaited-coroutine

    async def check(self, user: str) -> str:
        if self._audit(user):  # expect: unawaited-coroutine
            return "audited"
        return "open"

    async def checked(self, user: str) -> bool:
        return await self._audit(user)  # clean: awaited

    def later(self, user: str) -> Coroutine[Any, Any, bool]:
        return self._audit(user)  # clean: the caller awaits it

    async def both(self, user: str) -> None:
        mail = self._mail(user, "both")  # clean: awaited below
        await mail

    async def collect(self, users: list[str]) -> bool:
        waiting = [asyncio.create_task(self._audit(user)) for user in users[:10]]  # clean: awaited below
        done, _ = await asyncio.wait(waiting)
        return all(one.result() for one in done)  # clean: these tasks are done

    async def race(self, user: str) -> bool:
        task = asyncio.create_task(self._audit(user))  # clean: returned by await
        return await asyncio.wait_for(task, 1)

    async def drain(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)  # clean: cancelled on purpose
