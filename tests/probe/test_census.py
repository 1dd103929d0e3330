"""What lives beside a loop, counted on real ones."""

import asyncio
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
from loopclinic.probe.census import Census


async def test_the_default_executor_is_counted():
    release = threading.Event()
    with Probe() as probe:
        loop = asyncio.get_running_loop()
        waits = [loop.run_in_executor(None, release.wait) for _ in range(40)]
        await asyncio.sleep(0.05)
        busy = probe.census()
        release.set()
        await asyncio.gather(*waits)
        await asyncio.sleep(0.05)
        calm = probe.census()
    workers = busy.executor_workers
    assert busy.executor_busy == busy.executor_threads == workers
    assert busy.executor_queued == 40 - workers
    assert (calm.executor_busy, calm.executor_queued) == (0, 0)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="InterpreterPoolExecutor came with 3.14")
async def test_interpreters_that_are_the_default_executor_are_counted():
    from concurrent.futures import InterpreterPoolExecutor

    waiting, release = os.pipe()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(InterpreterPoolExecutor(2))
    with Probe() as probe:
        before = probe.census()
        reads = [loop.run_in_executor(None, os.read, waiting, 1) for _ in range(5)]
        for _ in range(1000):
            busy = probe.census()
            if busy.executor_queued == 3:
                break
            await asyncio.sleep(0.01)
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
