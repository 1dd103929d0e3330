"""Child process of probe.py: runs fixed work (for the cost) and stalls (for detection) under one monitor.

python benchmarks/probe_work.py MONITOR SCALE    prints JSON
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
from probe_monitors import MONITORS, THRESHOLD, Findings

LENGTHS = (0.02, 0.05, 0.1, 0.2, 0.5)  # seconds


def sleep_block(seconds: float) -> None:
    time.sleep(seconds)


def spin_block(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


_rate = 0.0  # numbers summed a second


def gil_block(seconds: float) -> None:
    sum(range(round(seconds * _rate)))


async def tasks(scale: float, count: int = 100) -> None:
    async def one() -> None:
        for _ in range(round(3000 * scale)):
            await asyncio.sleep(0)

    await asyncio.gather(*[one() for _ in range(count)])


async def task(scale: float) -> None:
    for _ in range(round(100_000 * scale)):
        await asyncio.sleep(0)


async def stream(scale: float) -> None:
    left, right = socket.socketpair()
    (reader, writer), (echo_reader, echo_writer) = [
        await asyncio.open_connection(sock=one) for one in (left, right)
    ]

    async def echo() -> None:
        while data := await echo_reader.read(100):
            echo_writer.write(data)

    echoing = asyncio.create_task(echo())
    for _ in range(round(12_000 * scale)):
        writer.write(b"ping")
        await reader.read(100)
    for one in (writer, echo_writer):
        one.close()
    echoing.cancel()


def cpu() -> float:
    """Return the CPU seconds of this process and its children."""
    return time.process_time() + sum(used(child) for child in psutil.Process().children())


def used(child: psutil.Process) -> float:
    try:  # to the nanosecond, where Linux tells; psutil counts hundredths of a second
        return int(Path(f"/proc/{child.pid}/schedstat").read_text("ascii").split()[0]) * 1e-9
    except OSError:
        times = child.cpu_times()
        return float(times.user + times.system)


def settle(processors: set[int]) -> None:
    """Let all threads of this process and of those beside it run on these processors only."""
    own = psutil.Process()
    for process in (own, *own.children()):
        for thread in process.threads():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread.id, processors)


async def price(
    work: Callable[[float], Awaitable[None]], scale: float, processors: set[int] | None = None
) -> float:
    """Measure the CPU seconds of the work: a neighbour on the same core doubles them at times, so
    of eight parts the quarter that it left alone."""
    if processors:
        before = os.sched_getaffinity(0)
        await asyncio.to_thread(settle, processors)
        try:
            return await price(work, scale)
        finally:
            await asyncio.to_thread(settle, before)
    parts = []
    for _ in range(8):
        # In a thread: blockbuster lets nobody read a file on the loop.
        before = await asyncio.to_thread(cpu)
        await work(scale / 4)
        parts.append(await asyncio.to_thread(cpu) - before)
    return 4 * sorted(parts)[1]


async def blocks(found: Findings) -> list[dict]:
    global _rate  # noqa: PLW0603
    done = []
    for seconds in LENGTHS:
        for block in (sleep_block, spin_block, gil_block):
            await asyncio.sleep(0.1)
            for _ in range(3):  # at its fastest: a block may last longer, but is not to be shorter
                began = time.perf_counter()
                sum(range(200_000))
                _rate = max(_rate, 200_000 / (time.perf_counter() - began))
                await asyncio.sleep(0.02)
            start, refused = time.perf_counter(), False
            try:
                block(seconds)
            except Exception:
                refused = True
            end = time.perf_counter()
            done.append(
                {"kind": block.__name__, "start": start, "seconds": end - start, "refused": refused}
            )
    await asyncio.sleep(0.2)
    for one in done:
        one.update(judged(found, one))
    return done


def judged(found: Findings, block: dict) -> dict:
    """Return what was said of a stall: its length, whether its line was named, and how soon."""
    if block["refused"]:
        return {"found": True, "named": True, "measured": None, "delay": None}
    start, end = block["start"], block["start"] + block["seconds"]
    if found.probe is not None:
        zero = found.probe._began  # noqa: SLF001 - to lay two clocks over one another
        for stall in found.probe.report().stalls:
            if zero + stall.started <= start + 0.002 and zero + stall.started + stall.seconds >= end - 0.002:  # fmt: skip
                told = [
                    at for at, _, text in found.said if start < at < end and text == block["kind"]
                ]
                delays = [at - start for at in told[:1]]
                # Nothing within can tell while the GIL is held: the process beside it does.
                if stall.gil_held and stall.first_seen is not None:
                    delays.append(stall.first_seen + zero + stall.started - start)
                delay = min(delays, default=None)
                named = stall.function == block["kind"]
                return {"found": True, "named": named, "measured": stall.seconds, "delay": delay}
        return {"found": False, "named": False, "measured": None, "delay": None}
    mine = [one for one in found.said if start < one[0] < end + 0.1]
    lengths = [seconds for _, seconds, _ in mine if seconds is not None]
    names = [at for at, _, text in mine if block["kind"] in text]
    return {
        "found": bool(mine),
        "named": bool(names),
        "measured": sum(lengths) if lengths else None,
        "delay": min(names) - start if names and min(names) < end else None,
    }


async def share(found: Findings) -> dict | None:
    """Return the true utilization of the loop, and the probe's."""
    if found.probe is None:
        return None
    before, began, busy = found.probe.snapshot(), time.perf_counter(), 0.0
    while time.perf_counter() - began < 1.5:
        start = time.perf_counter()
        spin_block(0.004)
        busy += time.perf_counter() - start
        await asyncio.sleep(0.006)
    seconds = time.perf_counter() - began
    return {"truth": busy / seconds, "said": found.probe.snapshot().since(before).utilization}


async def main(name: str, scale: float) -> dict:
    found = Findings()
    async with MONITORS[name][1](found):
        await asyncio.sleep(0.2)
        costs = {}
        if scale:
            # On one processor: a thread that does nothing but wake on another makes this one slower,
            # on a virtual machine by a tenth, and that is no work of the monitor's.
            one = {max(os.sched_getaffinity(0))} if hasattr(os, "sched_getaffinity") else None
            for work in (tasks, task, stream):
                await price(work, scale / 10)
                costs[work.__name__] = await price(work, scale, one)
            costs["anywhere"] = await price(tasks, scale)
        found.said.clear()
        said = await blocks(found) if name != "none" else []
        busy = await share(found)
    return {"costs": costs, "blocks": said, "share": busy, "threshold": THRESHOLD}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], float(sys.argv[2])))))
