"""The callers of a speech-to-text service: some meet it in a bad moment, most do not."""

import asyncio
import atexit
import time
from collections.abc import Awaitable, Callable
from html import escape
from typing import Any

from aiohttp import ClientSession

from loopclinic.lessons.blocking_sleep.clips import Unavailable, clip_for, post
from loopclinic.lessons.blocking_sleep.ladder import DIALS, LATENCY, upstream_session
from loopclinic.lessons.drawing import Drawing, span
from loopclinic.load import Request, Variant
from loopclinic.servers import FaultyUpstream, Upstream

__all__ = ["LATENCY", "Unavailable", "callers", "endings", "post", "served", "service"]

Transcribe = Callable[[ClientSession, bytes], Awaitable[str]]

_running: list[Upstream] = []


async def service() -> Upstream:
    """Return the service, started at the first call; it ends with the kernel.

    Flaky clips are sent away twice before they are answered.
    """
    if not _running:
        process = FaultyUpstream()
        _running.append(await process.__aenter__())
        atexit.register(process.__exit__, None, None, None)
    upstream = _running[0]
    await upstream.reset()
    await upstream.set(**DIALS)
    return upstream


def callers(count: int, *, flaky: int) -> list[dict[str, str]]:
    """Return what `count` requests carry, `flaky` of them, evenly spread, of a flaky caller."""
    step = count / flaky
    unlucky = {int(step * (number + 0.5)) for number in range(flaky)}
    return [{"group": "flaky" if n in unlucky else "healthy"} for n in range(count)]


def served(transcribe: Transcribe, upstream: Upstream) -> Variant:
    """Return a way to transcribe as something to put under load: a session, a clip a request."""

    async def handle(request: Request) -> str:
        return await transcribe(request.state, clip_for(request.payload["group"]))

    return Variant(handle, name=transcribe.__name__, setup=upstream_session(upstream.url))


async def endings(*ways: Transcribe, patience: float = 3.0) -> Drawing:
    """Say how each way ends when the service never answers, and when its caller cancels it.

    A call that is not over after `patience` seconds is ended.
    """
    async with FaultyUpstream(hang=1.0) as upstream, ClientSession(upstream.url) as session:
        calls = [_ending(way, session, patience) for way in ways]
        found = await asyncio.gather(*calls)
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(silent)}</td>"
        f"<td>{escape(cancelled)}</td></tr>"
        for name, silent, cancelled in found
    )
    head = "<tr><th></th><th>the service never answers</th><th>the caller cancels</th></tr>"
    text = [f"{name}: {silent}; {cancelled}." for name, silent, cancelled in found]
    return Drawing(f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>", "\n".join(text))


async def _ending(way: Transcribe, session: ClientSession, patience: float) -> tuple[str, str, str]:
    began = time.perf_counter()
    call = asyncio.ensure_future(way(session, b"clip"))
    await asyncio.wait([call], timeout=patience)
    after = span(time.perf_counter() - began)
    if call.done():
        error: Any = call.exception()
        silent = f"{type(error).__name__} after {after}"
    else:
        silent = f"still waiting after {after}"
        call.cancel()
        await asyncio.wait([call], timeout=patience)
    call = asyncio.ensure_future(way(session, b"clip"))
    await asyncio.sleep(0.05)
    began = time.perf_counter()
    call.cancel()
    await asyncio.wait([call], timeout=patience)
    ended = span(time.perf_counter() - began)
    return way.__name__, silent, f"ends within {ended}" if call.done() else "goes on"
