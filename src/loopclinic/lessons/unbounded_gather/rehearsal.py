"""Drives a lab's `publish` against a service that counts, and reports what happened.

Everything that can be asked of the service is asked of it: the lab's word counts for results only.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Iterator
from types import ModuleType
from typing import Any

import aiohttp

from loopclinic.lessons.lesson import Stage
from loopclinic.lessons.unbounded_gather.posts import DuePost, Source, text_of
from loopclinic.lessons.unbounded_gather.publishing import Publishing, end_leftovers
from loopclinic.servers import Counts, Upstream

__all__ = ["rehearse"]

_sleep, _perf_counter = asyncio.sleep, time.perf_counter

_LATENCY, _SLOW = 0.05, 0.5
_STEADY = 300
_EVERY = 20
"""One post in so many is a slow one, wherever a group of that many begins."""
_DUE = 100_000
_STOPPED = 60
"""Times the limit: with more posts alive than that, six times the budget, the source ends."""
_RETRY_AFTER = 2
_CLOSED_FOR = 0.4
_CROWD_FOR = 0.8
_ARRIVES = 0.05
"""Seconds for what was on its way when its sender was cancelled."""


class _SourceLostError(Exception):
    """The database went away."""


async def rehearse(lab: ModuleType, stage: Stage) -> None:
    """Run the whole rehearsal; about seven seconds for a lab that keeps its contract."""
    upstream = Upstream(stage.services["faulty_upstream"])
    # aiohttp's own bound of 100 connections stays: it keeps this process within its open files,
    # and it is far beyond any limit that is asked for here.
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(upstream.url, timeout=timeout) as session:
        await _Rehearsal(lab, stage, upstream, session).run()


class _Rehearsal:
    def __init__(
        self, lab: ModuleType, stage: Stage, upstream: Upstream, session: aiohttp.ClientSession
    ) -> None:
        self.lab = lab
        self.stage = stage
        self.upstream = upstream
        self.session = session
        self.limit = stage.rng.randrange(17, 24)
        self.number = stage.rng.randrange(1000, 5000)
        self.before = asyncio.all_tasks()

    async def run(self) -> None:
        self.stage.step("the first connection")
        await self.dials()
        async with self.session.get("/warm-up") as answer:
            await answer.read()
        # Keep-alive connections bring no tasks, but whatever the client has is not the lab's.
        self.before = asyncio.all_tasks()
        self.stage.fact("limit", self.limit)
        await self.steady()
        await self.broken()
        await self.refusing()
        await self.lost_source()
        await self.crowd()

    async def dials(self, **dials: Any) -> None:
        await self.upstream.reset()
        await self.upstream.set(**dials)

    def posts(self, count: int) -> list[DuePost]:
        """Return posts never seen before."""
        first = self.number
        self.number += count
        return [DuePost(n, text_of(n)) for n in range(first, first + count)]

    def call(self, source: Source) -> Publishing:
        return Publishing(self.lab, self.session, source, self.limit)

    async def fact(self, name: str, ending: dict[str, Any], **found: Any) -> None:
        left = await end_leftovers(self.before)
        self.stage.fact(name, {"ending": ending, "left": left, **found})

    # One after another.

    async def steady(self) -> None:
        """Many posts, a few of which take far longer and a few of which are turned away."""
        self.stage.step(f"{_STEADY} posts, {self.limit} at a time")
        await self.dials(
            latency=_LATENCY, slow=_SLOW, slow_for="video", status=422, status_for="banned"
        )
        posts = list(self._mixed())
        banned = [post.id for post in posts if b"banned" in post.body]
        source = Source(posts)
        async with self.call(source) as call:
            ending = await call.until_done(cap=3.0)
            counts = await self.upstream.counts()
            tasks = call.tasks
        seconds = ending["seconds"]
        await self.fact(
            "steady",
            ending,
            **_coverage(posts, counts),
            posts=len(posts),
            banned=banned,
            accepted=counts.by_status.get(200, 0),
            peak=counts.peak_in_flight,
            mean=counts.seconds_in_flight / seconds,
            tasks=tasks,
            rate=counts.by_status.get(200, 0) / seconds,
        )

    def _mixed(self) -> Iterator[DuePost]:
        rng, posts = self.stage.rng, self.posts(_STEADY)
        last = _STEADY // 2  # a slow one near the end would keep the places empty
        for start in range(0, last, _EVERY):
            slow, banned = rng.sample(range(start, min(start + _EVERY, last)), 2)
            for place, kind in ((slow, "video"), (banned, "banned")):
                number = posts[place].id
                posts[place] = DuePost(number, text_of(number, kind))
        yield from posts

    async def broken(self) -> None:
        self.stage.step("ten posts whose connections break")
        await self.dials(refuse=1.0)
        posts = self.posts(10)
        async with self.call(Source(posts)) as call:
            ending = await call.until_done(cap=1.0)
        counts = await self.upstream.counts()
        await self.fact(
            "broken", ending, **_coverage(posts, counts), wanted=[post.id for post in posts]
        )

    async def refusing(self) -> None:
        self.stage.step(f"posts that are answered 429, Retry-After {_RETRY_AFTER}")
        await self.dials(capacity=0, latency=0.01, retry_after=_RETRY_AFTER)
        posts = self.posts(2 * self.limit)
        async with self.call(Source(posts)) as call:
            # The source is asked and the first requests leave while this sleeps.
            await _sleep(_CLOSED_FOR)
            closed = await self.upstream.counts()
            await self.upstream.set(capacity=None)
            ending = await call.until_done(cap=_RETRY_AFTER + 1.2)
        counts = await self.upstream.counts()
        gaps = [
            later - earlier
            for post in posts
            for earlier, later in itertools.pairwise(counts.arrivals_of(post.body))
        ]
        await self.fact(
            "refusing",
            ending,
            **_coverage(posts, counts),
            posts=len(posts),
            accepted=counts.by_status.get(200, 0),
            retry_after=_RETRY_AFTER,
            refused=counts.by_status.get(429, 0),
            requests_while_closed=closed.requests,
            closed_for=_CLOSED_FOR,
            again=len(gaps),
            shortest=min(gaps, default=None),
        )

    async def lost_source(self) -> None:
        self.stage.step("posts that raise in the middle")
        await self.dials(latency=0.01)
        source = _LosingSource(self.posts(3 * self.limit))
        async with self.call(source) as call:
            ending = await call.until_done(cap=1.0)
        await _sleep(_ARRIVES)
        before = (await self.upstream.counts()).requests
        await _sleep(0.1)
        after = (await self.upstream.counts()).requests
        await self.fact(
            "lost_source",
            ending,
            raised=_SourceLostError.__name__ in ending.get("errors", ()),
            requests_after=after - before,
        )

    async def crowd(self) -> None:
        """More posts than may be held; cancelled in the middle."""
        self.stage.step(f"{_DUE:,} posts that are due")
        await self.dials(latency=_LATENCY)
        first = self.number
        endless = (DuePost(n, text_of(n)) for n in range(first, first + _DUE))
        source = Source(endless, most=_STOPPED * self.limit)
        async with self.call(source) as call:
            ends = _perf_counter() + _CROWD_FOR
            while _perf_counter() < ends and not call.task.done():
                await _sleep(0.02)
            reached = await self.upstream.counts()
            held, tasks, taken = source.peak, call.tasks, source.taken
            self.stage.step(f"{_DUE:,} posts that are due, cancelled in the middle")
            # It may have come to its end while the service was asked: there is nothing to cancel then.
            early = call.ending() if call.task.done() else None
            ending = await call.cancelled(patience=0.5)
            await _sleep(_ARRIVES)
            before = await self.upstream.counts()
            await _sleep(0.2)
            after = await self.upstream.counts()
            source.stopped = True
        await self.fact(
            "crowd",
            early or ending,
            due=_DUE,
            early=early is not None,
            stopped=source.stopped and held > 0.9 * _STOPPED * self.limit,
            held=held,
            tasks=tasks,
            taken=taken,
            requests=reached.requests,
            requests_after=after.requests - before.requests,
            in_flight_after=after.in_flight,
        )
        self.stage.fact(
            "vitals",
            {
                "limit": self.limit,
                "posts_held_at_most": held,
                "tasks_at_most": tasks,
                "requests_until_cancelled": reached.requests,
            },
        )


class _LosingSource(Source):
    """Raises after two thirds of its posts."""

    async def read(self) -> AsyncGenerator[DuePost, None]:
        posts = list(self._posts)
        for post in posts[: 2 * len(posts) // 3]:
            await _sleep(0)
            yield post
        raise _SourceLostError("the connection to the database was lost")


def _coverage(posts: list[DuePost], counts: Counts) -> dict[str, Any]:
    """Return the ids of posts that never arrived, and of those that came more than once."""
    times = {post.id: len(counts.arrivals_of(post.body)) for post in posts}
    return {
        "missing": [number for number, count in times.items() if count == 0],
        "repeated": [number for number, count in times.items() if count > 1],
    }
