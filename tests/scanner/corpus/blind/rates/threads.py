import asyncio
import threading

from feed import rates, wait_done


def euro() -> float:
    return asyncio.run(rates())["EUR"]  # expect: loop-per-call


def wait() -> None:
    asyncio.run(wait_done())  # expect: loop-per-call


class Background:
    """One loop in one thread, for all callers."""

    def __init__(self) -> None:
        self.limit: asyncio.Semaphore | None = None
        self.loop = asyncio.new_event_loop()  # clean: one loop for the life of the process
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    async def _limited(self) -> dict[str, float]:
        if self.limit is None:
            self.limit = asyncio.Semaphore(4)  # clean: made under the loop that uses it, no await between
        async with self.limit:
            return await rates()

    def rates(self) -> dict[str, float]:
        future = asyncio.run_coroutine_threadsafe(self._limited(), self.loop)  # clean: the one loop
        return future.result(timeout=10)  # clean: waits in the caller's thread


background = Background()


async def report() -> dict[str, float]:
    return background.rates()  # expect-via: blocking-sync-primitive
