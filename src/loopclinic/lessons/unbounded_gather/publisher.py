"""The process of one publisher: publishes when told, and reports what it took."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from time import perf_counter
from typing import Any

import aiohttp
import psutil

from loopclinic.lessons.unbounded_gather.posts import DuePost, due
from loopclinic.load import Request, Variant
from loopclinic.load.travel import pack, unpack
from loopclinic.probe import Probe
from loopclinic.servers import ServerProcess
from loopclinic.servers.lifeline import ParentLink

__all__ = ["closed_loop", "main", "publisher"]

_EVERY = 0.1  # a census of a hundred thousand tasks takes tens of milliseconds
_MB = 1e6
_kept: list[Any] = []


def publisher(publish: Callable[..., Awaitable[Any]] | None, name: str) -> ServerProcess:
    """Return the process of a publisher, not started; None publishes by `closed_loop` only.

    A function typed in a notebook travels by value.

    Raises:
        LoadError: it captures something of this process; the message names it.
    """
    spec = None if publish is None else pack(Variant(_carrier(publish), name=name))
    return ServerProcess(__name__, spec, label=f"the process of '{name}'")


def _carrier(publish: Callable[..., Awaitable[Any]]) -> Callable[[Request], Awaitable[Any]]:
    async def carried(request: Request) -> Any:
        del request
        return publish

    return carried


async def _publish(publish: Any, order: dict[str, Any]) -> dict[str, Any]:
    """Publish `posts` posts, at most `seconds` long, and sample tasks and memory meanwhile.

    What is not done by then goes on: the process is used up.
    """
    series: list[tuple[float, int, float]] = []
    taken = 0

    async def counted() -> AsyncGenerator[DuePost, None]:
        nonlocal taken
        async for post in due(order["posts"]):
            taken += 1
            yield post

    async with _session(order["url"]) as session, Probe() as probe:
        process = psutil.Process()
        base, before = process.memory_info().rss, probe.census().tasks
        began = perf_counter()

        def sample() -> None:
            # On the probe's thread: also while the loop is stuck.
            tasks = max(0, probe.census().tasks - before)
            memory = (process.memory_info().rss - base) / _MB
            series.append((perf_counter() - began, tasks, memory))

        unsubscribe = probe.subscribe(sample, every=_EVERY)
        call = asyncio.ensure_future(publish(session, counted(), limit=order["limit"]))
        await asyncio.wait([call], timeout=order.get("seconds"))
        unsubscribe()
        seconds = perf_counter() - began
        ended = _ended(call)
        if not call.done():
            # Not even cancelled: a hundred thousand tasks in a semaphore's line take minutes to
            # leave it, each looks for itself from the front. The process ends instead.
            _kept.append(call)
    return {"seconds": seconds, "ended": ended, "series": series, "taken": taken}


def _ended(call: "asyncio.Future[Any]") -> str:
    if not call.done():
        return "was still at work"
    if call.cancelled():
        return "was cancelled"
    error = call.exception()
    if error is not None:
        return f"raised {type(error).__name__}: {error}"[:200]
    return f"returned {call.result()!r}"[:200]


async def closed_loop(order: dict[str, Any]) -> dict[str, Any]:
    """Keep `limit` requests in flight for `seconds`, after a warm-up, and time each of them.

    Returns the seconds measured, the latencies of accepted posts, and the counts of the others.
    """
    latencies: list[float] = []
    errors: dict[str, int] = {"429": 0, "reset": 0}
    warm, seconds = order["warm_up"], order["seconds"]
    number = 0
    async with _session(order["url"]) as session:
        began = perf_counter()
        opens, closes = began + warm, began + warm + seconds

        async def work(place: int) -> None:
            nonlocal number
            # Side by side, not in step: or a window holds one round of answers more or less.
            await asyncio.sleep(order["stagger"] * place / order["limit"])
            while (sent := perf_counter()) < closes:
                number += 1
                try:
                    async with session.post("/v1/posts", data=b"%d" % number) as response:
                        await response.read()
                        status = response.status
                except aiohttp.ClientError:
                    status = 0
                now = perf_counter()
                if not opens <= now < closes:
                    continue
                if status == 200:  # noqa: PLR2004
                    latencies.append(now - sent)
                else:
                    errors["429" if status else "reset"] += 1

        async with asyncio.TaskGroup() as group:
            for place in range(order["limit"]):
                group.create_task(work(place))
    return {"seconds": seconds, "latencies": latencies, "errors": errors}


def _session(url: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=None))


async def main(link: ParentLink) -> None:
    """Publish whenever told, until the parent is gone."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    publish: Any = None
    if link.spec is not None:
        carried: Any = unpack(link.spec).target
        publish = await carried(None)

    def answer(order: dict[str, Any]) -> dict[str, Any]:
        # On the lifeline's thread: the posts go out on the loop of this process.
        job = _publish(publish, order) if order["kind"] == "publish" else closed_loop(order)
        return asyncio.run_coroutine_threadsafe(job, loop).result()

    def leave() -> None:
        if _kept:
            os._exit(0)
        loop.call_soon_threadsafe(gone.set)

    link.ready({"python": sys.version})
    link.listen(answer, on_end=leave)
    await gone.wait()
