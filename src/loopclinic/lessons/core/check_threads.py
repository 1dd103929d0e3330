"""Threads of a check for its own blocking work, kept apart from the lab's default executor."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import TypeVar

_T = TypeVar("_T")

_SMALL_MACHINE = 6
"""Threads of the default executor: the standard library's min(32, cores + 4) for two cores. Set,
because on 28 cores the queue behind it would be too short to see, and production may be smaller."""


@contextmanager
def small_machine(threads: int = 1) -> Iterator[ThreadPoolExecutor]:
    """Set the running loop's default executor to that of a machine of two cores; yield another one.

    That one has `threads` threads, for the check's own blocking work.
    """
    default = ThreadPoolExecutor(_SMALL_MACHINE, thread_name_prefix="default-executor")
    asyncio.get_running_loop().set_default_executor(default)
    own = ThreadPoolExecutor(threads, thread_name_prefix="check")
    try:
        yield own
    finally:
        default.shutdown(wait=False)  # what is left in its queue is the lab's, and is told
        own.shutdown(wait=False, cancel_futures=True)


class Offload:
    """What does its blocking work on the threads of `own`; the default executor is left to the lab."""

    def __init__(self, own: Executor) -> None:
        self.own = own

    async def outside(self, work: Callable[..., _T], *values: object) -> _T:
        """Do blocking work on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.own, work, *values)

    def at_work(self, manager: AbstractContextManager[_T]) -> AbstractAsyncContextManager[_T]:
        """Enter and leave a blocking context manager on a thread."""
        return entered(manager, self.own)


@asynccontextmanager
async def entered(
    manager: AbstractContextManager[_T], own: Executor | None = None
) -> AsyncIterator[_T]:
    """Enter and leave a blocking context manager on a thread of `own`, or of the loop's executor."""
    loop = asyncio.get_running_loop()
    value = await loop.run_in_executor(own, manager.__enter__)
    try:
        yield value
    finally:
        await loop.run_in_executor(own, manager.__exit__, None, None, None)
