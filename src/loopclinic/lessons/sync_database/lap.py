"""A process that runs one rung of the ladder: so many tasks, each at its next query at once."""

import asyncio
import base64
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cloudpickle

from loopclinic.lessons.sync_database.pools import opened
from loopclinic.probe import Probe
from loopclinic.servers.lifeline import ParentLink

__all__ = ["main", "packed"]


def packed(rung: Any, dsn: str, size: int) -> dict[str, Any]:
    """Return what such a process is started with."""
    return {
        "rung": base64.b64encode(cloudpickle.dumps(rung)).decode(),
        "dsn": dsn,
        "size": size,
    }


def main(link: ParentLink) -> None:
    """Answer each `{"query", "seconds"}` by what the rung reached in that time."""
    spec = link.spec
    rung = cloudpickle.loads(base64.b64decode(spec["rung"]))
    runner = asyncio.Runner()

    def answer(message: dict[str, Any]) -> dict[str, float]:
        return runner.run(lap(rung, spec["dsn"], spec["size"], **message))

    link.ready(os.getpid())
    link.listen(answer)
    threading.Event().wait()  # the answers are given on a thread; the parent's end ends this


async def lap(rung: Any, dsn: str, size: int, *, query: str, seconds: float) -> dict[str, float]:
    """Keep `size` tasks at it for `seconds`; counts what was done in that time."""
    loop = asyncio.get_running_loop()
    # What the standard library gives: min(32, cores + 4). Named, so that rounds don't share one.
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(min(32, cores + 4)) as executor:
        loop.set_default_executor(executor)
        async with opened(rung, dsn, size) as pool:
            await asyncio.gather(*(rung(pool, query) for _ in range(size)))
            done, most = 0, 0

            async def work(ends: float) -> None:
                nonlocal done, most
                while time.perf_counter() < ends:
                    await rung(pool, query)
                    done += 1
                    most = max(most, threading.active_count())
                    await asyncio.sleep(0)  # a rung that blocks never lets go by itself

            with Probe() as probe:
                began = time.perf_counter()
                await asyncio.gather(*(work(began + seconds) for _ in range(size)))
                taken = time.perf_counter() - began
                report = probe.report()
    return {
        "rate": done / taken,
        "lag": report.lag.p99,
        "stall": max((one.seconds for one in report.stalls), default=report.lag.max),
        "busy": report.utilization or 0.0,
        "threads": float(most),
    }
