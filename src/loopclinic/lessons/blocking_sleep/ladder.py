"""The rungs from the blocking retry to the mended one, each as a handler for `loopclinic.load`.

Requests come in two groups: a `healthy` one succeeds at its first attempt, a `flaky` one at its
third. The upstream needs `DIALS`, the load `PAYLOADS`.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp

from loopclinic.lessons.blocking_sleep.clips import FLAKY, Unavailable, clip_for, post
from loopclinic.load import Request, Variant

__all__ = [
    "BACKOFF",
    "DIALS",
    "PAYLOADS",
    "awaited",
    "blocking",
    "bounded",
    "jittered",
    "own_time",
    "rungs",
    "upstream_session",
]

ATTEMPTS = 4
BACKOFF = 0.1
"""Seconds before the second attempt; twice as long before each further one."""
DEADLINE = 2.0
FAILURES = 2
LATENCY = 0.02
DIALS: dict[str, float] = {"latency": LATENCY, "fail_first": FAILURES, "fail_share": FLAKY}
PAYLOADS: list[dict[str, str]] = [{"group": "healthy"}] * 9 + [{"group": "flaky"}]
"""One request in ten has to try again."""

Setup = Callable[[], AbstractAsyncContextManager[aiohttp.ClientSession]]


async def blocking(request: Request) -> str:
    """Wait by `time.sleep`, as the lab does when it ships."""
    clip = clip_for(request.payload["group"])
    for attempt in range(ATTEMPTS - 1):
        try:
            return await post(request.state, clip)
        except Unavailable:
            time.sleep(BACKOFF * 2**attempt)  # noqa: ASYNC251 - this is the anti-pattern
    return await post(request.state, clip)


async def awaited(request: Request) -> str:
    """Wait by `asyncio.sleep`: rung 1."""
    clip = clip_for(request.payload["group"])
    for attempt in range(ATTEMPTS - 1):
        try:
            return await post(request.state, clip)
        except Unavailable:
            await asyncio.sleep(BACKOFF * 2**attempt)
    return await post(request.state, clip)


async def jittered(request: Request) -> str:
    """Wait half of that to all of it, by chance: rung 2."""
    clip = clip_for(request.payload["group"])
    for attempt in range(ATTEMPTS - 1):
        try:
            return await post(request.state, clip)
        except Unavailable:
            longest = BACKOFF * 2**attempt
            await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - no secret
    return await post(request.state, clip)


async def bounded(request: Request) -> str:
    """Do so within one deadline, and let cancellation through: rung 3."""
    async with asyncio.timeout(DEADLINE):
        return await jittered(request)


def rungs(url: str) -> list[Variant]:
    """Return the four rungs against the upstream at `url`, the blocking one first."""
    setup = upstream_session(url)
    return [Variant(rung, setup=setup) for rung in (blocking, awaited, jittered, bounded)]


def upstream_session(url: str) -> Setup:
    """Return a setup that gives each server one session to the upstream at `url`."""

    @asynccontextmanager
    async def setup() -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(url, connector=connector) as session:
            yield session

    return setup


def own_time(group: str) -> float:
    """Return the seconds that a caller of this group needs when nobody else is there, unjittered.

    A flaky one: its own waits and three requests. A healthy one: one request, and no wait at all.
    """
    if group != "flaky":
        return LATENCY
    waits = sum(BACKOFF * float(2**attempt) for attempt in range(FAILURES))
    return waits + (FAILURES + 1) * LATENCY
