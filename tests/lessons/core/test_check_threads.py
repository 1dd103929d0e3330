"""Waiting for a free thread of the default executor, and telling that it was full."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager

from loopclinic.lessons.core.check_threads import small_machine
from loopclinic.lessons.database import scenes
from loopclinic.lessons.database.scenes import Database


@asynccontextmanager
async def busy(threads):
    """Keep so many threads of the default executor at work, from when all have begun."""
    begun, over = threading.Barrier(threads + 1), threading.Event()
    loop = asyncio.get_running_loop()
    work = [loop.run_in_executor(None, lambda: (begun.wait(), over.wait())) for _ in range(threads)]
    begun.wait()
    yield
    over.set()
    await asyncio.gather(*work)


async def test_a_full_executor_is_waited_for():
    with small_machine():
        async with busy(6):
            waited = await Database.slowest_thread(0.4)
    assert waited > 0.2


async def test_one_free_thread_is_enough():
    with small_machine():
        async with busy(5):
            waited = await Database.slowest_thread(0.2)
    assert waited == 0


async def test_a_free_thread_that_the_machine_does_not_let_run_is_no_full_executor(monkeypatch):
    monkeypatch.setattr(scenes, "_perf_counter", lambda: time.sleep(0.15) or time.perf_counter())
    with small_machine():
        assert await Database.slowest_thread(0.5) == 0
