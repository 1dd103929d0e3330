"""Measure lesson 04: throughput at the right limit, unbounded, and with 100,000 posts.

    python benchmarks/unbounded_gather.py [--rounds 5] [--posts 2000] [--crowd 100000]

Prints medians and spread of interleaved rounds. About four minutes; the crowd is most of it.
"""

import argparse
from statistics import median

from loopclinic.lessons.story.over_time import Watched
from loopclinic.lessons.story.race_worker import worker
from loopclinic.lessons.unbounded_gather import ladder, story
from loopclinic.lessons.unbounded_gather.story import BOUND, CAPACITY, LATENCY
from loopclinic.servers import FaultyUpstream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--posts", type=int, default=1000)
    parser.add_argument("--crowd", type=int, default=100_000)
    args = parser.parse_args()

    print(f"\nThe sweep ({CAPACITY} at once, {LATENCY * 1000:.0f} ms each, bound {BOUND:.0f}/s)")
    found = story.sweep(rounds=args.rounds)
    for point in found.points:
        print(f"  {found.words(point.limit)}")
    print(f"  {found}")

    print(f"\n{args.posts} posts at limit {CAPACITY}, {args.rounds} interleaved rounds")
    ways = (
        ladder.publish_all,
        ladder.own_semaphore,
        ladder.one_semaphore,
        ladder.workers,
        ladder.polite,
    )
    print(story.race(*ways, posts=args.posts, rounds=args.rounds))

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
