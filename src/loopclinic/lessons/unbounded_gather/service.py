"""The publishing service of the scenes, and one call of a publisher against it, on the running loop."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import aiohttp

from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.rounds import name_of
from loopclinic.lessons.unbounded_gather.charts import answers
from loopclinic.lessons.unbounded_gather.posts import due
from loopclinic.servers import Counts, FaultyUpstream, Upstream

__all__ = [
    "BOUND",
    "CAPACITY",
    "LATENCY",
    "QUEUE",
    "SERVICE",
    "Publisher",
    "Run",
    "connected",
    "publish_here",
]

Publisher = Callable[..., Awaitable[Any]]
"""`async def publish(session, posts, *, limit)`."""

CAPACITY = 20
"""Requests that the service works on at once."""
QUEUE = 20
"""Requests that may wait there for a place; one more is answered 429."""
LATENCY = 0.1
"""Seconds that it works on one."""
BOUND = CAPACITY / LATENCY
"""Posts a second: more than that it can't do."""
SERVICE: dict[str, Any] = {
    "capacity": CAPACITY,
    "queue": QUEUE,
    "latency": LATENCY,
    "retry_after": 1,
    "overload": 500,
}


@dataclass(frozen=True)
class Run:
    """What became of a batch of posts: the publisher's word, and the service's."""

    name: str
    posts: int
    seconds: float
    ended: str
    """What the caller got: `returned ...` or `raised ...`."""
    accepted: int
    refused: int
    reset: int
    peak: int
    """Most requests in flight at once, as the service saw it."""
    tasks: int
    """Most tasks at once."""
    errors: Mapping[str, int] = field(default_factory=dict)
    """Refusals and failures by status, `reset` among them."""
    timeline: Mapping[int, Mapping[int, int]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, name: str, counts: Counts, *, posts: int, seconds: float, ended: str, tasks: int
    ) -> "Run":
        """Join what the publisher's side and the service's side saw."""
        by_status = Counter(counts.by_status)
        errors = {str(code): n for code, n in by_status.items() if code >= 400}  # noqa: PLR2004
        if counts.resets:
            errors["reset"] = counts.resets
        return cls(
            name=name,
            posts=posts,
            seconds=seconds,
            ended=ended,
            accepted=by_status[200],
            refused=by_status[429],
            reset=counts.resets,
            peak=counts.peak_in_flight,
            tasks=tasks,
            errors=errors,
            timeline=counts.timeline,
        )

    @property
    def rate(self) -> float:
        """Posts accepted a second."""
        return self.accepted / self.seconds

    def __str__(self) -> str:
        return (
            f"{self.name} {self.ended} after {self.seconds:.1f} s. Of {self.posts:,} posts the service "
            f"accepted {self.accepted:,}, refused {self.refused:,}, reset {self.reset:,}."
        )

    def drawing(self) -> Drawing:
        """Draw the service's answers over time."""
        return answers((str(self), self.timeline))

    def _repr_html_(self) -> str:
        return self.drawing()._repr_html_()


@contextlib.asynccontextmanager
async def connected(
    **dials: Any,
) -> AsyncIterator[tuple[Upstream, aiohttp.ClientSession]]:
    """Start a service of one's own, by default as `SERVICE` says, and a session to it.

    The session is aiohttp's ordinary one: 100 connections at most, and no more than that arrive.
    """
    async with FaultyUpstream(**{**SERVICE, **dials}) as upstream:
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(upstream.url, timeout=timeout) as session:
            async with session.get("/warm-up") as answer:
                await answer.read()
            await upstream.reset()
            await upstream.set(**{**SERVICE, **dials})
            yield upstream, session


async def publish_here(
    publish: Publisher,
    posts: int = 2000,
    *,
    limit: int = CAPACITY,
    closed_for: float = 0.0,
    **dials: Any,
) -> Run:
    """Publish so many posts, on the running loop, with a service of one's own.

    `closed_for` is for how many seconds the service refuses everything at first.
    """
    async with connected(**dials) as (upstream, session):
        if closed_for:
            await upstream.set(capacity=0, queue=0)
        before = set(asyncio.all_tasks())
        census = asyncio.create_task(_count(before))
        began = perf_counter()
        call = asyncio.ensure_future(publish(session, due(posts), limit=limit))
        try:
            if closed_for:
                await asyncio.wait([call], timeout=closed_for)
                await upstream.set(**{**SERVICE, **dials})
            try:
                value = await call
                ended = f"returned {_shown(value)}"
            except Exception as error:
                ended = f"raised {type(error).__name__}"
            seconds = perf_counter() - began
        finally:
            call.cancel()
            census.cancel()
            left = [task for task in asyncio.all_tasks() - before if task is not census]
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)
            peak = await _value(census)
        counts = await upstream.counts()
    return Run.of(name_of(publish), counts, posts=posts, seconds=seconds, ended=ended, tasks=peak)


async def _count(before: set[asyncio.Task[Any]]) -> int:
    peak = 0
    try:
        while True:
            peak = max(peak, len(asyncio.all_tasks() - before) - 1)
            await asyncio.sleep(0.02)
    # loopclinic: ignore[swallowed-cancellation] it is cancelled to be asked for the peak
    except asyncio.CancelledError:
        return peak


async def _value(census: "asyncio.Task[int]") -> int:
    try:
        return await census
    except asyncio.CancelledError:  # before its first step
        if (me := asyncio.current_task()) is not None and me.cancelling():
            raise
        return 0


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."  # noqa: PLR2004
