"""Measure lesson 04: throughput at the right limit, unbounded, and with 100,000 posts.

    python benchmarks/unbounded_gather.py [--rounds 5] [--posts 2000] [--crowd 100000]

Prints medians and spread of interleaved rounds. About four minutes; the crowd is most of it.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from statistics import median
from typing import Any

from claims import claim

from loopclinic.lessons.story.over_time import Watched
from loopclinic.lessons.story.race_worker import worker
from loopclinic.lessons.unbounded_gather import ladder, story
from loopclinic.lessons.unbounded_gather.story import BOUND, CAPACITY, LATENCY
from loopclinic.servers import FaultyUpstream


async def one_by_one(session: Any, posts: Any, *, limit: int) -> None:
    """Publish as the team did before."""
    del limit
    async for post in posts:
        await ladder.publish_one(session, post)


async def five_at_once(session: Any, posts: Any, *, limit: int) -> None:
    """Publish as the team does now: Semaphore(5)."""
    del limit
    await ladder.one_semaphore(session, posts, limit=5)


async def started_twice(session: Any, posts: Any, *, limit: int) -> None:
    """Publish by a scheduler that starts the publisher again before it is done."""
    due = [post async for post in posts]

    async def source() -> AsyncIterator[Any]:
        for post in due:
            yield post

    await asyncio.gather(*(five_at_once(session, source(), limit=limit) for _ in range(2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--posts", type=int, default=1000)
    parser.add_argument("--crowd", type=int, default=100_000)
    args = parser.parse_args()

    print(f"\nThe sweep ({CAPACITY} at once, {LATENCY * 1000:.0f} ms each, bound {BOUND:.0f}/s)")
    swept = story.sweep(rounds=args.rounds)
    for point in swept.points:
        print(f"  {swept.words(point.limit)}")
    print(f"  {swept}")

    print(f"\n{args.posts} posts at limit {CAPACITY}, {args.rounds} interleaved rounds")
    ways = (ladder.publish_all, ladder.own_semaphore, ladder.one_semaphore)
    ways += (ladder.workers, ladder.polite)
    print(story.race(*ways, posts=args.posts, rounds=args.rounds))

    claim(
        '"5x faster for batch operations", by Semaphore(5)',
        "The factor is that of the service: none if it works on one post at a time.",
    )
    for places in (1, 5, 20):
        found = story.race(one_by_one, five_at_once, posts=20, rounds=args.rounds, capacity=places)
        times = sorted(found.times("rate", "five_at_once", "one_by_one"))
        least, *_, most = times
        print(f"{places} places: {median(times):.1f} times as fast ({least:.1f} to {most:.1f})")

    claim(
        "Semaphore(5) limits what the service gets",
        "It is made for each run: two runs have ten in flight, and post everything twice. The limit belongs to the "
        "app, and a post to the run that has claimed its row (for update skip locked).",
    )
    for way in (five_at_once, started_twice):
        counts = asyncio.run(story.publish_here(way, 100)).counts
        print(
            f"{way.__name__}: {counts.peak_in_flight} in flight, {counts.requests} requests for 100 posts"
        )

    print(f"\n{args.crowd:,} posts due: tasks and memory in the first 3 s")
    print(story.crowd(ladder.one_semaphore, ladder.workers, posts=args.crowd))

    print(f"\n{args.crowd:,} posts to the end, by workers on a queue")
    whole(args.crowd)


def whole(posts: int) -> None:
    """Publish them all to a service that is quick, and compare memory early and late."""
    with FaultyUpstream() as upstream, worker(story.measure, ladder.workers) as process:
        order = {"url": upstream.url, "posts": posts, "capacity": None, "latency": 0.005}
        found = process.call(order, timeout=3600)
    it = Watched(*found["held"])
    tenth = max(1, len(it.series) // 10)
    first, last = it.series[tenth : 2 * tenth] or it.series, it.series[-tenth:]
    print(
        f"  {found['published']:,} of {posts:,} published in {it.seconds:.0f} s; tasks at most {it.tasks}; "
        f"memory beyond the start: second tenth {median(mb for *_, mb in first):.1f} MB, "
        f"last tenth {median(mb for *_, mb in last):.1f} MB"
    )


if __name__ == "__main__":
    main()
