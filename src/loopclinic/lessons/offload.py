"""Threads of a rehearsal's own, for its blocking work, and those of the loop, which are the lab's."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import TypeVar

from loopclinic.probe.census import census_of

__all__ = ["Offload", "entered", "slowest_thread", "small_machine"]

_sleep, _wait, _to_thread = asyncio.sleep, asyncio.wait, asyncio.to_thread
_perf_counter = time.perf_counter

_T = TypeVar("_T")

_GLANCE = 0.02  # seconds between looks at the executor

_SMALL_MACHINE = 6
"""Threads of the default executor: the standard library's min(32, cores + 4) for two cores. Set,
because on 28 cores the queue behind it would be too short to see, and production may be smaller."""


@contextmanager
def small_machine(threads: int = 1) -> Iterator[ThreadPoolExecutor]:
    """Give the running loop, until the end, the default executor of a machine of two cores.

    Gives another one with so many `threads`, for the rehearsal's own blocking work.
    """
    default = ThreadPoolExecutor(_SMALL_MACHINE, thread_name_prefix="default-executor")
    asyncio.get_running_loop().set_default_executor(default)
    own = ThreadPoolExecutor(threads, thread_name_prefix="rehearsal")
    try:
        yield own
    finally:
        default.shutdown(wait=False, cancel_futures=True)
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


async def slowest_thread(seconds: float) -> float:
    """Return how long a call of `asyncio.to_thread` waited at worst while all threads were at work.

    It asks for `seconds`. What a busy machine takes to run a thread that is free does not count.
    """
    loop = asyncio.get_running_loop()
    last = _perf_counter()
    ends, worst = last + seconds, 0.0
    while last < ends:
        # Waited for from afar: were it cancelled, it would not count as waiting any more.
        asked, waited = asyncio.ensure_future(_to_thread(_perf_counter)), 0.0
        while not asked.done() and last < ends:
            await _wait([asked], timeout=_GLANCE)
            last, before = _perf_counter(), last
            census = census_of(loop)
            if not asked.done() and census.executor_busy >= census.executor_workers:
                waited += last - before
        worst = max(worst, waited)
        asked.cancel()
        await _sleep(0.03)
        last = _perf_counter()
    return worst
