"""Counting tasks, executor calls and threads of real loops."""

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from typing import NamedTuple

import aiohttp
import pytest
import uvicorn
from aiohttp import web

from loopclinic.probe import Probe
from loopclinic.probe.census import Census, Waiters, Waiting, waiting_for_a_connection, waiting_on


async def test_the_default_executor_is_counted():
    release = threading.Event()
    with Probe() as probe:
        loop = asyncio.get_running_loop()
        waits = [loop.run_in_executor(None, release.wait) for _ in range(40)]
        workers = probe.census().executor_workers
        # A thread takes its work, and is idle again, when the machine lets it.
        busy = await counted(probe, lambda one: one.executor_queued == 40 - workers)
        release.set()
        await asyncio.gather(*waits)
        calm = await counted(probe, lambda one: one.executor_busy == 0)
    assert busy.executor_busy == busy.executor_threads == workers
    assert calm.executor_queued == 0


async def counted(probe, wanted):
    """Return the first census that is as `wanted`."""
    async with asyncio.timeout(30):
        while not wanted(found := probe.census()):
            await asyncio.sleep(0.01)
    return found


@pytest.mark.skipif(sys.version_info < (3, 14), reason="InterpreterPoolExecutor came with 3.14")
async def test_interpreters_that_are_the_default_executor_are_counted():
    from concurrent.futures import InterpreterPoolExecutor

    waiting, release = os.pipe()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(InterpreterPoolExecutor(2))
    with Probe() as probe:
        before = probe.census()
        reads = [loop.run_in_executor(None, os.read, waiting, 1) for _ in range(5)]
        busy = await counted(probe, lambda one: one.executor_queued == 3)
        os.write(release, b"12345")
        await asyncio.gather(*reads)
    os.close(waiting)
    os.close(release)
    assert (before.executor_threads, before.executor_workers) == (0, 2)
    assert (busy.executor_threads, busy.executor_busy, busy.executor_queued) == (2, 2, 3)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="nothing to pin a process by")
def test_the_workers_of_an_executor_not_made_yet_are_as_many_as_it_will_have():
    code = (
        "import asyncio, os, loopclinic\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "async def main():\n"
        "    with loopclinic.Probe() as probe:\n"
        "        before = probe.census().executor_workers\n"
        "        await asyncio.to_thread(int)\n"
        "        print(before == probe.census().executor_workers)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "True\n"


async def test_many_tasks_are_counted_and_not_looked_at_one_by_one():
    tasks = [asyncio.create_task(asyncio.sleep(60)) for _ in range(10_000)]
    with Probe() as probe:
        many = probe.census()
        while tasks:  # before 3.14 those that are done count until nobody holds them
            tasks.pop().cancel()
        await asyncio.sleep(0.1)
        few = probe.census()
    others = many.tasks - few.tasks - 10_000
    assert others == 0 if sys.version_info >= (3, 14) else others >= 0
    assert (many.requests, few.requests) == (None, 0)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
async def test_a_task_is_counted_in_its_eager_first_step_too():
    async def one():
        seen.append(probe.census().tasks)
        await asyncio.sleep(0)
        seen.append(probe.census().tasks)

    seen = []
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    with Probe() as probe:
        await loop.create_task(one())
        seen.append(probe.census().tasks)
    assert seen == [2, 2, 1]


async def test_requests_in_work_are_counted_where_aiohttp_serves_them():
    release = asyncio.Event()

    async def answer(_):
        await release.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    with Probe() as probe:
        seen = await held(url, release, probe)
    await runner.cleanup()
    assert seen.statuses == [200] * 7
    assert (seen.before.requests, seen.after.requests) == (7, 0)
    assert seen.before.tasks > 14


async def test_requests_in_work_are_counted_where_uvicorn_serves_them():
    release = asyncio.Event()

    async def app(scope, receive, send):
        await release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="critical"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with Probe() as probe:
        seen = await held(f"http://127.0.0.1:{port}/", release, probe)
    server.should_exit = True
    await serving
    assert seen.statuses == [200] * 7
    assert (seen.before.requests, seen.after.requests) == (7, 0)
    assert seen.before.tasks > 14


class Seen(NamedTuple):
    before: Census
    after: Census
    statuses: list[int]


async def held(url, release, probe) -> Seen:
    """Send seven requests that wait until `release`; return the census before and after it."""

    async def ask(session):
        async with session.get(url) as response:
            return response.status

    async with aiohttp.ClientSession() as session:
        asked = [asyncio.create_task(ask(session)) for _ in range(7)]
        for _ in range(500):
            if probe.census().requests == 7:
                break
            await asyncio.sleep(0.01)
        before = probe.census()
        release.set()
        statuses = await asyncio.gather(*asked)
        return Seen(before, probe.census(), statuses)


def test_where_nothing_is_known_to_serve_requests_their_number_is_unknown():
    code = (
        "import asyncio, loopclinic\n"
        "async def main():\n"
        "    with loopclinic.Probe() as probe:\n"
        "        print(probe.census().requests, probe.census().tasks)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "None 1\n"


class Shop:
    async def checkout(self, future):
        await self.pay(future)

    async def pay(self, future):
        await future


async def sleeps():
    await asyncio.sleep(60)


async def test_tasks_are_grouped_by_what_they_await_and_told_ready_from_suspended(monkeypatch):
    monkeypatch.setattr("loopclinic.probe.census._PATIENCE", 60.0)
    loop = asyncio.get_running_loop()
    shop = Shop()
    done, open_ = loop.create_future(), loop.create_future()
    tasks = [asyncio.create_task(shop.checkout(done)) for _ in range(37)]
    tasks += [asyncio.create_task(shop.checkout(open_)) for _ in range(5)]
    tasks.append(asyncio.create_task(sleeps()))
    await asyncio.sleep(0)
    done.set_result(None)
    tasks.append(asyncio.create_task(sleeps()))  # has not begun
    seen = waiting_on(loop)
    later = waiting_on(loop, loop.time() + 61)
    for task in tasks:
        task.cancel()
    assert (seen.ready, seen.suspended, seen.unseen) == (38, 6, 0)
    assert [(one.count, one.ready, one.name) for one in seen.groups] == [
        (37, True, "Shop.checkout"),
        (1, True, "sleeps"),
        (5, False, "Shop.checkout"),
        (1, False, "sleeps"),
    ]
    assert [name.partition(" (")[0] for name in seen.groups[0].chain] == [
        "Shop.checkout",
        "Shop.pay",
    ]
    assert str(seen) == "38 tasks were ready, 37 of them in Shop.checkout; 6 tasks were suspended."
    assert (later.ready, later.suspended) == (39, 5), "its timer is due by then"


async def test_so_many_tasks_are_looked_at_in_part(monkeypatch):
    monkeypatch.setattr("loopclinic.probe.census._PATIENCE", 0.0)
    loop = asyncio.get_running_loop()
    tasks = [asyncio.create_task(sleeps()) for _ in range(100)]
    seen = waiting_on(loop)
    for task in tasks:
        task.cancel()
    assert seen.ready + seen.suspended + seen.unseen in (100, 101)
    assert seen.unseen > 0
    assert "more tasks were not looked at" in str(seen)


@pytest.mark.parametrize(
    ("waiting", "told"),
    [
        (Waiting(0, 0, ()), ""),
        (Waiting(0, 1, ()), "no tasks were ready; 1 task was suspended."),
        (Waiting(1, 0, (Waiters(1, True, ("f (a.py:1)",)),)), "1 task was ready, in f."),
    ],
)
def test_who_waits_is_one_sentence(waiting, told):
    assert str(waiting) == told


async def test_tasks_that_wait_for_a_connection_of_a_pool_are_counted():
    release = asyncio.Event()

    async def answer(request):
        await release.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = "http://127.0.0.1:{}/".format(*runner.addresses[0][1:])

    async def ask(session):
        async with session.get(url) as response:
            return response.status

    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        tasks = [asyncio.create_task(ask(session)) for _ in range(4)]
        while not runner.server.connections:
            await asyncio.sleep(0.01)
        assert waiting_for_a_connection(loop) == 3
        release.set()
        assert await asyncio.gather(*tasks) == [200] * 4
        assert waiting_for_a_connection(loop) == 0
    await runner.cleanup()


async def test_a_chain_goes_on_through_an_asynchronous_context_manager():
    @contextlib.asynccontextmanager
    async def lent():
        await asyncio.Event().wait()
        yield

    async def borrows():
        async with lent():
            pass

    task = asyncio.create_task(borrows())
    await asyncio.sleep(0)
    groups = waiting_on(asyncio.get_running_loop()).groups
    (chain,) = (group.chain for group in groups if group.name == "borrows")
    assert [link.partition(" (")[0] for link in chain][-2:] == ["lent", "Event.wait"]
    task.cancel()
