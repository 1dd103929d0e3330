"""Base class for objects with a blocking start and close: adds `with` and `async with`."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


class SyncAsync(ABC, Generic[T]):
    """Something with `start()` and `close()`: usable with `with` and with `async with`.

    The asynchronous half works in a thread of its own, so that a loop under observation is neither
    blocked nor finds its executor's threads used.
    """

    @abstractmethod
    def start(self) -> Self:
        """Start, blocking until it is ready."""

    @abstractmethod
    def close(self) -> None:
        """Close, blocking. Idempotent."""

    @abstractmethod
    def given(self) -> T:
        """Return what `with` binds."""

    async def start_async(self) -> Self:
        """Do as `start` does, without blocking the loop; if cancelled, it is closed again."""
        await in_thread(self.start, undo=self.close)
        return self

    async def close_async(self) -> None:
        """Do as `close` does, without blocking the loop; goes on if cancelled."""
        await in_thread(self.close)

    def __enter__(self) -> T:
        self.start()
        return self.given()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> T:
        await self.start_async()
        return self.given()

    async def __aexit__(self, *_: object) -> None:
        await self.close_async()


async def in_thread(work: Callable[[], Any], undo: Callable[[], Any] | None = None) -> Any:
    """Run `work` in a thread of its own and return its result.

    Work can't be interrupted: if the caller is cancelled, it goes on, and `undo` follows it.
    """
    done: Future[Any] = Future()

    def run() -> None:
        deliver: Callable[[Any], None] = done.set_result
        try:
            result = work()
        except BaseException as error:
            result, deliver = error, done.set_exception
        if done.set_running_or_notify_cancel():
            deliver(result)
        elif undo is not None:
            undo()

    threading.Thread(target=run, name="loopclinic-start", daemon=True).start()
    try:
        return await asyncio.wrap_future(done)
    except asyncio.CancelledError:
        if undo is not None and not done.cancelled():  # the work was finished already
            threading.Thread(target=undo, name="loopclinic-undo", daemon=True).start()
        raise
