"""The retry of lesson 01 in four versions ("rungs"), from blocking to fixed, and its client for the service.

A rung is `await rung(session, clip)`. Clips are of two groups: a `healthy` one succeeds at the first
attempt, a `flaky` one at the third; the service needs `DIALS`, a load `PAYLOADS`.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp

from loopclinic.load.variant import Request, Variant
from loopclinic.servers import is_flaky

Transcribe = Callable[[aiohttp.ClientSession, bytes], Awaitable[str]]

ATTEMPTS = 4
BACKOFF = 0.1
"""Seconds before the second attempt; twice as long before each further one."""
DEADLINE = 2.0
FAILURES = 2
FLAKY = 0.5
"""Share of all clips that the service fails at first."""
LATENCY = 0.02
DIALS: dict[str, float] = {"latency": LATENCY, "fail_first": FAILURES, "fail_share": FLAKY}
PAYLOADS: list[dict[str, str]] = [{"group": "healthy"}] * 9 + [{"group": "flaky"}]
"""One request in ten has to try again."""


class Unavailable(Exception):  # noqa: N818 - as the lab calls it
    """The service asks to be tried again later."""


def clip_for(group: str) -> bytes:
    """Return a clip never seen before: of a `flaky` caller, or of any other."""
    while True:
        clip = os.urandom(200)
        if is_flaky(clip, FLAKY) == (group == "flaky"):
            return clip


async def post(session: aiohttp.ClientSession, clip: bytes) -> str:
    """Send a clip once and return its text.

    Raises:
        Unavailable: the service is overloaded.
    """
    async with session.post("/v1/transcribe", data=clip) as response:
        if response.status in {429, 503}:
            raise Unavailable(f"status {response.status}")
        response.raise_for_status()
        return str((await response.json())["text"])


async def blocking(session: aiohttp.ClientSession, clip: bytes) -> str:
    """Wait by `time.sleep`, as the lab does when it ships."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return await post(session, clip)
        except Unavailable:
            time.sleep(BACKOFF * 2**attempt)  # noqa: ASYNC251 - this is the anti-pattern
    return await post(session, clip)


async def awaited(session: aiohttp.ClientSession, clip: bytes) -> str:
    """Wait by `asyncio.sleep`: rung 1."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return await post(session, clip)
        except Unavailable:
            await asyncio.sleep(BACKOFF * 2**attempt)
    return await post(session, clip)


async def jittered(session: aiohttp.ClientSession, clip: bytes) -> str:
    """Wait a random time, from half of the backoff to all of it: rung 2."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return await post(session, clip)
        except Unavailable:
            longest = BACKOFF * 2**attempt
            await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - no secret
    return await post(session, clip)


async def bounded(session: aiohttp.ClientSession, clip: bytes) -> str:
    """Do so within one deadline, and let cancellation through: rung 3."""
    async with asyncio.timeout(DEADLINE):
        return await jittered(session, clip)


RUNGS = (blocking, awaited, jittered, bounded)


def callers(count: int, *, flaky: int) -> list[dict[str, str]]:
    """Return what `count` requests carry, `flaky` of them, evenly spread, of a flaky caller."""
    step = count / flaky
    unlucky = {int(step * (number + 0.5)) for number in range(flaky)}
    return [{"group": "flaky" if n in unlucky else "healthy"} for n in range(count)]


def served(transcribe: Transcribe, url: str) -> Variant:
    """Return a way to transcribe as something to put under load: a session a server, a clip a request."""

    @asynccontextmanager
    async def session() -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(url, connector=connector) as one:
            yield one

    async def handle(request: Request) -> str:
        return await transcribe(request.state, clip_for(request.payload["group"]))

    return Variant(handle, name=transcribe.__name__, setup=session)


def own_time(group: str) -> float:
    """Return the seconds that a caller of this group needs when nobody else is there, unjittered."""
    failures = FAILURES if group == "flaky" else 0
    return (failures + 1) * LATENCY + sum(BACKOFF * 2.0**attempt for attempt in range(failures))
