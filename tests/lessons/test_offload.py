"""A rehearsal's own threads, and how long a lab's are not to be had."""

import asyncio
import threading
import time

from loopclinic.lessons import offload
from loopclinic.lessons.offload import slowest_thread, small_machine


async def test_a_full_executor_is_waited_for():
    over = threading.Event()
    with small_machine():
        loop = asyncio.get_running_loop()
        full = [loop.run_in_executor(None, over.wait) for _ in range(6)]
        waited = await slowest_thread(0.4)
        over.set()
        await asyncio.gather(*full)
    assert waited > 0.2


async def test_one_free_thread_is_enough():
    over = threading.Event()
    with small_machine():
        loop = asyncio.get_running_loop()
        busy = [loop.run_in_executor(None, over.wait) for _ in range(5)]
        waited = await slowest_thread(0.2)
        over.set()
        await asyncio.gather(*busy)
    assert waited == 0


async def test_a_free_thread_that_the_machine_does_not_let_run_is_no_full_executor(monkeypatch):
    monkeypatch.setattr(offload, "_perf_counter", lambda: time.sleep(0.15) or time.perf_counter())
    with small_machine():
        assert await slowest_thread(0.5) == 0
