"""The figures of lesson 04: throughput at the right limit, what unbounded does, what 100,000 posts take.

    python benchmarks/unbounded_gather.py [--rounds 5] [--posts 2000] [--crowd 100000]

Prints medians and spread of interleaved rounds. About four minutes; the crowd is most of it.
"""

import argparse
from statistics import median

from loopclinic.lessons.unbounded_gather import ladder
from loopclinic.lessons.unbounded_gather.crowd import crowd
from loopclinic.lessons.unbounded_gather.publisher import publisher
from loopclinic.lessons.unbounded_gather.race import race
from loopclinic.lessons.unbounded_gather.service import BOUND, CAPACITY, LATENCY, SERVICE
from loopclinic.lessons.unbounded_gather.sweep import sweep
from loopclinic.servers import FaultyUpstream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--posts", type=int, default=1000)
    parser.add_argument("--crowd", type=int, default=100_000)
    args = parser.parse_args()

    print(f"\nThe sweep ({CAPACITY} at once, {LATENCY * 1000:.0f} ms each, bound {BOUND:.0f}/s)")
    found = sweep(rounds=args.rounds)
    for point in found.points:
        print(f"  {point}")
    print(f"  {found}")

    print(f"\n{args.posts} posts at limit {CAPACITY}, {args.rounds} interleaved rounds")
    ways = (
        ladder.publish_all,
        ladder.own_semaphore,
        ladder.one_semaphore,
        ladder.workers,
        ladder.polite,
    )
    result = race(*ways, posts=args.posts, rounds=args.rounds)
    for runner in result.runners:
        print(f"  {runner}")
    right = result.runners[-1]
    middle, least, most = right.rate
    print(
        f"  at the right limit: {middle / BOUND:.1%} of capacity / latency "
        f"({least / BOUND:.1%} to {most / BOUND:.1%}), {right.refused:.0f} answered 429"
    )

    print(f"\n{args.crowd:,} posts due: tasks and memory in the first 3 s")
    for held in crowd(ladder.one_semaphore, ladder.workers, posts=args.crowd).held:
        print(f"  {held}")

    print(f"\n{args.crowd:,} posts to the end, by workers on a queue")
    whole(args.crowd)


def whole(posts: int) -> None:
    """Publish them all, against a service that is quick, and compare the first tenth with the last."""
    dials = {**SERVICE, "capacity": None, "latency": 0.005}
    with FaultyUpstream(**dials) as upstream, publisher(ladder.workers, "workers") as process:
        order = {"kind": "publish", "url": upstream.url, "posts": posts, "limit": CAPACITY}
        said = process.call(order, timeout=3600)
        accepted = upstream.counts_now().by_status.get(200, 0)
    series = said["series"]
    tenth = max(1, len(series) // 10)
    first, last = series[tenth : 2 * tenth] or series, series[-tenth:]
    print(
        f"  {accepted:,} of {posts:,} published in {said['seconds']:.0f} s; tasks at most "
        f"{max(tasks for _, tasks, _ in series)}; memory beyond the start: second tenth "
        f"{median(mb for *_, mb in first):.1f} MB, last tenth {median(mb for *_, mb in last):.1f} MB"
    )


if __name__ == "__main__":
    main()
