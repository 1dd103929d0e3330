"""Measure lesson 09: schedules that break each rung, what a real Valkey counts, calls per second.

    python benchmarks/await_races.py [--rounds 5] [--calls 5000] [--schedules 500]

Prints medians and spread of interleaved rounds. About three minutes.
"""

import argparse
import asyncio
import time
from typing import Any

from claims import claim

from loopclinic import search_schedules
from loopclinic.lessons.await_races import ladder, story


async def end_moves(store: Any, key: str, *, limit: int, window: float) -> bool:
    """Do as the team's pipeline does: EXPIRE at every call."""
    used, _ = await store.transaction(("incr", key), ("expire", key, window))
    return bool(used <= limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--schedules", type=int, default=500)
    args = parser.parse_args()
    ways = (
        ladder.check_then_count,
        ladder.locked,
        ladder.count_then_expire,
        ladder.one_step,
        end_moves,
    )

    claim(
        '"Race conditions eliminated"',
        "Refuted: one message more for each connection of the pool. Schedules of calls at once, in virtual time:",
    )
    for way in ways:
        began = time.process_time()
        found = search_schedules(story.playing(way), args.schedules)
        spent = time.process_time() - began
        print(
            f"  {way.__name__}: {len(found.broken)} of {found.seeds} broken, {spent:.2f} s of CPU"
        )

    print("A hundred calls at once, by the connections of the client's pool:")
    print(asyncio.run(story.by_pool(ladder.check_then_count)))

    print("\nThe same on a real Valkey, from one process and from two")
    print(asyncio.run(story.two_processes(*ways)))

    print("\nA process is killed after its first command")
    print(asyncio.run(story.killed(*ways[2:])))

    claim(
        '"Atomic Redis operations", by INCR and EXPIRE in one pipeline at every call',
        "Atomic, and the window never ends for somebody who keeps trying.",
    )
    print(story.keeps_trying(*ways[2:]))

    print("\nA cache entry ends, and many ask for it at once")
    print(story.stampede())

    claim("`retry_on_timeout=True` is safe", "An INCR is not idempotent: it counts twice.")
    print(asyncio.run(story.retried()))

    print(f"\n{args.calls} calls, {args.rounds} interleaved rounds")
    print(story.race(*ways, ladder.one_command, calls=args.calls, rounds=args.rounds))


if __name__ == "__main__":
    main()
