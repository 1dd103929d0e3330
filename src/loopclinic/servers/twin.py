"""The asynchronous twin of what is started and closed by blocking calls."""

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

__all__ = ["Twin", "in_thread"]

T = TypeVar("T")


class Twin(ABC, Generic[T]):
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> T:
        await self.start_async()
        return self.given()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close_async()


async def in_thread(work: Callable[[], Any], undo: Callable[[], Any] | None = None) -> Any:
    """Run `work` in a thread of its own and return its result.

    Work can't be interrupted: if the caller is cancelled, it goes on, and `undo` follows it.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    lock = threading.Lock()
    finished = abandoned = False

    def settle(method: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            method(value)

    def run() -> None:
        nonlocal finished
        try:
            result, deliver = work(), future.set_result
        except BaseException as error:
            result, deliver = error, future.set_exception
        with lock:
            finished = True
            late = abandoned
        if late and undo is not None:
            undo()
        elif not late:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(settle, deliver, result)

    threading.Thread(target=run, name="loopclinic-start", daemon=True).start()
    try:
        return await future
    except asyncio.CancelledError:
        with lock:
            abandoned = True
            undo_now = finished and undo is not None
        if undo_now and undo is not None:
            threading.Thread(target=undo, name="loopclinic-undo", daemon=True).start()
        raise
