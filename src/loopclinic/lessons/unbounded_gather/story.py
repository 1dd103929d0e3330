"""Experiments of notebook 04: refusals, a sweep of limits, a benchmark, tasks over time, one failure."""

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from math import isnan, nan
from typing import Any

import aiohttp

from loopclinic.drawing.charts import answers
from loopclinic.drawing.diagram import rows_of_places
from loopclinic.drawing.live_drawing import LiveDrawing
from loopclinic.drawing.tables import Drawing, Drawn, bold, code, table
from loopclinic.lessons.story.other_tools import Opinion, debug_run, linter, opinions
from loopclinic.lessons.story.over_time import Watched, over_time, watched
from loopclinic.lessons.story.race import Column, Race, Result
from loopclinic.lessons.story.race_worker import worker
from loopclinic.lessons.story.sweep import Swept, closed_loop
from loopclinic.lessons.story.sweep import sweep as swept
from loopclinic.lessons.unbounded_gather.ladder import COSTS, publish_one, workforce
from loopclinic.lessons.unbounded_gather.posts import DuePost, due, text_of
from loopclinic.load.progress_line import Progress
from loopclinic.load.variant import name_of
from loopclinic.servers import Counts, FaultyUpstream, Upstream

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
LIMITS = (1, 2, 5, 10, 15, 20, 30, 40, 60, 100)
_PLACES = f"{CAPACITY} at once / {LATENCY * 1000:.0f} ms"
_GATHERED = 300
_LOOK = 0.1
"""Seconds between two looks at the service."""


@dataclass(frozen=True, repr=False)
class Run(Drawn):
    """What became of a batch of posts: the publisher's side, and the service's."""

    name: str
    posts: int
    taken: int
    """Posts that the publisher asked for."""
    held: Watched
    counts: Counts

    @property
    def accepted(self) -> int:
        """Posts that the service accepted."""
        return self.counts.by_status.get(200, 0)

    @property
    def refused(self) -> int:
        """Requests that it answered 429."""
        return self.counts.by_status.get(429, 0)

    def __str__(self) -> str:
        return (
            f"{self.name} {self.held.ended} after {self.held.seconds:.1f} s. Of {self.posts:,} posts the "
            f"service accepted {self.accepted:,}, refused {self.refused:,}, reset {self.counts.resets:,}."
        )

    def drawing(self) -> Drawing:
        """Draw the service's answers over time."""
        return answers((str(self), self.counts.timeline))


@asynccontextmanager
async def connected(
    url: str = "", **dials: Any
) -> AsyncIterator[tuple[Upstream, aiohttp.ClientSession]]:
    """Give the service at `url`, or one of one's own, with `SERVICE` and these dials, and a session.

    The session is aiohttp's ordinary one: 100 connections at most, and no more than that arrive.
    """
    async with AsyncExitStack() as stack:
        here = Upstream(url) if url else await stack.enter_async_context(FaultyUpstream())
        timeout = aiohttp.ClientTimeout(total=None)
        session = await stack.enter_async_context(aiohttp.ClientSession(here.url, timeout=timeout))
        async with session.get("/warm-up") as answer:
            await answer.read()
        await here.reset()
        await here.set(**{**SERVICE, **dials})
        yield here, session


async def publish_here(
    publish: Publisher,
    posts: int = 2000,
    *,
    url: str = "",
    seconds: float | None = None,
    closed_for: float = 0.0,
    **dials: Any,
) -> Run:
    """Publish so many posts on the running loop, to the service at `url` or one of one's own.

    After `seconds`, if given, what is not done goes on. `closed_for` is for how many seconds the
    service refuses everything at first.
    """
    taken, dials = 0, {**SERVICE, **dials}

    async def source() -> AsyncGenerator[DuePost]:
        nonlocal taken
        async for post in due(posts):
            taken += 1
            yield post

    async def reopen() -> None:
        if closed_for:
            await asyncio.sleep(closed_for)
            await upstream.set(**dials)

    async with connected(url, **dials) as (upstream, session):
        if closed_for:
            await upstream.set(capacity=0, queue=0)
        before, work = asyncio.all_tasks(), publish(session, source(), limit=CAPACITY)
        sampled = watched(work, seconds=seconds, every=0.1 if seconds else 0.02)
        sizes = {name: dials[name] or 0 for name in ("capacity", "queue")}
        try:
            async with drawn(upstream, lambda: taken, **sizes):
                held, _ = await asyncio.gather(sampled, reopen())
        finally:
            await _cancelled(set() if seconds else asyncio.all_tasks() - before)
        counts = await asyncio.to_thread(upstream.counts_now)  # this loop may have 100,000 tasks
    return Run(name_of(publish), posts, taken, held, counts)


async def _cancelled(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


# Its places, live.


def places(
    counts: Counts, read: int, *, capacity: int, queue: int, fullest: int | None = None
) -> Drawing:
    """Draw who is at work, who waits there, who was refused, and who waits on the publisher's side.

    `read` is how many posts the publisher has read. `fullest`, once all is over, is the most requests
    that were in flight at a time.
    """
    in_flight = counts.in_flight if fullest is None else fullest
    at_work, waiting = min(in_flight, capacity), max(0, min(in_flight - capacity, queue))
    accepted, refused = counts.by_status.get(200, 0), counts.by_status.get(429, 0)
    unsent = max(0, read - counts.requests) if fullest is None else 0
    when = "Now" if fullest is None else "At its fullest"
    words = f"{when}, {at_work} of {capacity} places busy and {waiting} of {queue} in the queue. "
    words += f"{accepted:,} posts were accepted, {refused:,} refused, {counts.resets:,} reset."
    if unsent:
        words += f" {unsent:,} more are read and wait in your process."
    rows = [
        ("places", at_work, capacity, "calm", f"{accepted:,} accepted"),
        ("queue", waiting, queue, "lag", f"{refused:,} refused"),
    ]
    return Drawing(f"<p>{words}</p>{rows_of_places(rows, title=words)}", words)


@asynccontextmanager
async def drawn(
    upstream: Upstream, read: Callable[[], int], *, capacity: int, queue: int
) -> AsyncIterator[None]:
    """Draw the places of a service below the running cell as long as the body lasts, from a thread."""

    def draw(counts: Counts, fullest: int | None = None) -> Drawing:
        return places(counts, read(), capacity=capacity, queue=queue, fullest=fullest)

    def look() -> None:
        while not over.wait(_LOOK):
            with suppress(OSError):  # it has more to do than to answer this
                live.show(draw(upstream.counts_now()))

    over, live = threading.Event(), LiveDrawing(draw(Counts()))
    if not live.shown:  # in a worker
        yield
        return
    thread = threading.Thread(target=look, name="places", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        await asyncio.to_thread(thread.join)
        counts = await upstream.counts()
        live.show(draw(counts, counts.peak_in_flight))


# Side by side.


def side_by_side(*runs: Run) -> Drawing:
    """Draw what the service answered in each run, on one scale, with the peak in flight."""
    words = (f"{run} {run.counts.peak_in_flight} in flight at most." for run in runs)
    return answers(*zip(words, (run.counts.timeline for run in runs), strict=True))


async def retry_storm(
    *senders: Callable[[aiohttp.ClientSession, DuePost], Awaitable[None]],
    posts: int = 100,
    seconds: float = 1.0,
) -> Drawing:
    """Send posts while the service refuses everything for `seconds`, with Retry-After: 1.

    As many workers as the service has places, on the running loop.
    """
    charts = []
    for send in senders:

        async def publish(session: Any, posts: Any, *, limit: int, send: Any = send) -> None:
            await workforce(lambda post: send(session, post), posts, limit)

        run = await publish_here(publish, posts, closed_for=seconds, overload=None, latency=0.05)
        words = f"{name_of(send)}: while it was closed for {seconds:g} s, the service refused "
        words += f"{run.refused:,} requests. All {run.accepted:,} posts were through after "
        words += f"{run.held.seconds:.1f} s."
        charts.append((words, run.counts.timeline))
    return answers(*charts)


# The knee.


async def at_limit(way: None, *, limit: int, url: str) -> dict[str, Any]:
    """Measure one limit: keep `limit` posts under way."""
    del way
    numbers = itertools.count()
    async with connected(url) as (_, session):

        async def send() -> str:
            try:
                async with session.post("/v1/posts", data=b"%d" % next(numbers)) as response:
                    await response.read()
            except aiohttp.ClientError:
                return "reset"
            return "" if response.ok else str(response.status)

        return await closed_loop(send, limit, stagger=LATENCY)


def sweep(limits: Sequence[int] = LIMITS, *, rounds: int = 2) -> Swept:
    """Try each limit; about half a second a limit and round."""
    bound: dict[str, Any] = {"unit": "posts/s", "bound": BOUND, "because": _PLACES}
    with FaultyUpstream() as upstream:
        return swept(at_limit, limits, rounds=rounds, url=upstream.url, **bound)


# The race, and tasks and memory over time.


async def measure(publish: Publisher, *, url: str, posts: int, **options: Any) -> dict[str, Any]:
    """Publish so many posts; a way that loses some gets no rate: refusing is fast."""
    run = await publish_here(publish, posts, url=url, **options)
    rate = posts / run.held.seconds if run.accepted == posts else nan
    figures = {"lost": run.refused + run.counts.resets, "rate": rate, "share": rate / BOUND}
    held = {"tasks": run.held.tasks, "taken": run.taken, "held": run.held}
    return {"published": run.accepted, **figures, **held}


def _bound(found: Result) -> tuple[float, str]:
    note = f"The bound of posts is all of them; that of posts/s is {_PLACES} = {BOUND:.0f} a "
    note += "second. A way that loses posts gets no rate: refusing is fast."
    return found.given["posts"], note


def _claim(found: Result) -> str:
    """Say how much the first way and the last one publish."""
    first, last = (found.runners[place].typical("published") for place in (0, -1))
    names = found.runners[0].name, found.runners[-1].name
    return f"Of {found.given['posts']:,} posts {names[0]} publishes {first:,.0f}, {names[1]} {last:,.0f}."


_RACE = Race(
    measure,
    columns=(
        Column("Published", "published"),
        Column("Refused or reset", "lost"),
        Column("Posts/s", "rate", spread=True),
        Column("Of the bound", "share", "{:.0%}".format),
        Column("Tasks", "tasks", most=True),
    ),
    costs=COSTS,
    bound=_bound,
    good=lambda one: not isnan(one.typical("rate")),
    sentence=_claim,
    warm_up={"posts": CAPACITY},
)


def race(
    *publishers: Publisher, posts: int = 300, rounds: int = 3, progress: bool = True, **dials: Any
) -> Result:
    """Let each publisher publish the same number of posts, in a process of its own, in turns."""
    with FaultyUpstream() as upstream:
        given = {"url": upstream.url, "posts": posts, **dials}
        return _RACE(*publishers, rounds=rounds, progress=progress, **given)


def crowd(*publishers: Publisher, posts: int = 100_000, seconds: float = 3.0) -> Drawing:
    """Run each for a while, in a process of its own, at posts that the service takes at once."""
    rows = []
    with FaultyUpstream() as upstream, Progress(shown=True) as shown:
        given = {"url": upstream.url, "capacity": None, "latency": 0.02}
        for publish in publishers:
            shown.say(f"{posts:,} posts for {name_of(publish)}, {seconds:g} s")
            with worker(measure, publish) as process:
                found = process.call({**given, "posts": posts, "seconds": seconds}, timeout=600)
            held = Watched(*found["held"])
            memory = f"{held.memory:.0f} MB" if held.memory >= 1 else "less than 1 MB"
            words = f"{name_of(publish)} had taken {found['taken']:,} posts after {held.seconds:.1f} s, and "
            words += f"{found['published']:,} of them were published: {held.tasks:,} tasks, {memory} more."
            rows.append((words, held))
        shown.done(f"{posts:,} posts were due; each way had {seconds:g} s to publish them.")
    return over_time(*rows)


# One failure.


async def one_failure(
    *ways: Callable[[Sequence[Coroutine[Any, Any, None]]], Awaitable[Any]], posts: int = 1000
) -> Drawing:
    """Publish so many posts in each of these ways, one of which the service turns away.

    A way takes a list of coroutines. All share one limit; the loop is the running one.
    """
    heads = ["Way", "The caller gets", "Published by then", "Later, unnoticed", "Never sent"]
    kinds = ["banned" if number == posts // 10 else "note" for number in range(posts)]
    due = [DuePost(number, text_of(number, kind)) for number, kind in enumerate(kinds)]
    rows = [await _one_failure(way, due) for way in ways]
    return table(heads, rows, title=f"{posts:,} posts, one of which the service rejects (422).")


async def _one_failure(way: Any, due: Sequence[DuePost]) -> list[Any]:
    rejecting: dict[str, Any] = {"status": 422, "status_for": "banned"}
    async with connected(capacity=None, latency=0.02, **rejecting) as (upstream, session):
        limit = asyncio.Semaphore(CAPACITY)

        async def limited(post: DuePost) -> None:
            async with limit:
                await publish_one(session, post)

        before = asyncio.all_tasks()
        try:
            gets = _got(await way([limited(post) for post in due]))
        except Exception as error:
            inside = {type(one).__name__ for one in getattr(error, "exceptions", ())}
            gets = type(error).__name__ + (f" of {', '.join(sorted(inside))}" if inside else "")
        published = (await upstream.counts()).by_status.get(200, 0)
        if left := asyncio.all_tasks() - before:
            _, left = await asyncio.wait(left, timeout=3)
        await _cancelled(left)
        counts = await upstream.counts()
    later = counts.by_status.get(200, 0) - published
    never = sum(not counts.arrivals_of(post.body) for post in due)
    return [bold(name_of(way)), code(gets), f"{published:,}", f"{later:,}", f"{never:,}"]


def _got(value: Any) -> str:
    if isinstance(value, list):
        errors = (place for place, one in enumerate(value) if isinstance(one, BaseException))
        if (place := next(errors, None)) is not None:
            return f"a list; item {place} of it is the error"
    return "no error" if value is None else repr(value)[:60]


# Diagnosis.


async def gather_posts(url: str) -> list[tuple[str, int]]:
    """Publish a few hundred posts at once, and count what gather returns if somebody looks."""
    async with connected(url) as (_, session):
        jobs = [publish_one(session, post) async for post in due(_GATHERED)]
        results = await asyncio.gather(*jobs, return_exceptions=True)
    kinds = ((type(one).__name__, getattr(one, "status", "")) for one in results)
    counts = Counter(f"{kind} {status}".strip() for kind, status in kinds)
    return [(kind.removesuffix("Type"), number) for kind, number in counts.most_common()]


async def diagnose(function: Callable[..., Any], run: Run) -> Drawing:
    """Ask each tool about `function`, and about its `run`; about three seconds."""
    async with FaultyUpstream() as upstream:
        found, linted = await asyncio.gather(
            debug_run(gather_posts, url=upstream.url),
            linter(function, "-", "that there is no limit"),
        )
    counts, seconds = run.counts, run.held.seconds
    answered = run.accepted + run.refused + counts.resets
    said = f"429: {run.refused:,}, reset: {counts.resets:,}, in flight: {counts.peak_in_flight}"
    kinds = ", ".join(f"{number} x {kind}" for kind, number in found.value)
    what, which = "what failed, and why", "which post: only its place in the list"
    rate, quick = f"{answered / seconds:,.0f}/s, and no queue", "that refusing is fast"
    return opinions(
        Opinion("the caller", "what it got", run.held.ended, "-", "everything"),
        Opinion("the client's metrics", "requests a second", rate, "a busy client", quick),
        linted,
        found.debug_mode("that the loop had a lot to do", "whether that was useful work"),
        Opinion("gather's results", f"{_GATHERED} posts, looked at", kinds, what, which),
        Opinion("the service's metrics", "by status, and peak in flight", said, "all of it", "-"),
    )
