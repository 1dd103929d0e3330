"""Threads of a rehearsal's own, for its blocking work, and those of the loop, which are the lab's."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from typing import TypeVar

__all__ = ["Offload", "entered", "slowest_thread"]

_sleep, _wait, _to_thread = asyncio.sleep, asyncio.wait, asyncio.to_thread
_perf_counter = time.perf_counter

_T = TypeVar("_T")


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
    """Return how long `asyncio.to_thread` had to wait for a thread, at worst, in that time."""
    ends, worst = _perf_counter() + seconds, 0.0
    while _perf_counter() < ends:
        began = _perf_counter()
        # Waited for from afar: were it cancelled, it would not count as waiting any more.
        asked = asyncio.ensure_future(_to_thread(_perf_counter))
        await _wait([asked], timeout=max(0.0, ends - _perf_counter()))
        worst = max(worst, _perf_counter() - began)
        if not asked.done():
            asked.cancel()
            break
        await _sleep(0.03)
    return worst
