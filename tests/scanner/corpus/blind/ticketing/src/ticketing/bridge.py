"""For the box office, whose program is older than all of this."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent import futures
from typing import Any, TypeVar

T = TypeVar("T")

_turn = asyncio.Condition()  # expect: loop-bound-primitive


async def _next_turn() -> None:
    async with _turn:
        async with asyncio.timeout(5):
            await _turn.wait()


async def _call_next() -> None:
    async with _turn:
        _turn.notify()


def wait_for_turn() -> None:
    asyncio.run(_next_turn())  # expect: loop-per-call


def call_next() -> None:
    asyncio.run(_call_next())  # expect: loop-per-call


def on_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.get_event_loop()  # expect: get-event-loop
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(5)


def schedule(coroutine: Coroutine[Any, Any, T]) -> None:
    threading.Thread(target=asyncio.run, args=(coroutine,)).start()  # expect: loop-per-call


class Till:
    def __init__(self) -> None:
        self._done = futures.Future()
        self._drawer = threading.Semaphore(1)
        self._printing = threading.Condition()

    def _open(self) -> None:
        time.sleep(0.3)  # clean: the drawer's motor, in a thread

    async def open(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._open)  # clean: in the executor

    async def open_at_once(self) -> None:
        self._open()  # expect-via: blocking-sleep

    async def closed(self) -> None:
        futures.wait([self._done], timeout=5)  # expect: blocking-sync-primitive

    async def mine(self) -> None:
        self._drawer.acquire()  # expect: blocking-sync-primitive

    async def give(self) -> None:
        self._drawer.release()  # clean: never waits

    async def count(self, coins: list[int], each: Callable[[int], int] = int) -> int:
        return sum(map(each, coins))  # clean: a small sum


async def beat(period: float) -> None:
    while True:
        time.sleep(period)  # expect: blocking-sleep
        await asyncio.sleep(0)  # clean: yields once
