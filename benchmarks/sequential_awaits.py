"""The figures of lesson 05: what each rung gains and breaks, by the shape of the batch.

    python benchmarks/sequential_awaits.py [--rounds 10]

Prints medians and spread of interleaved rounds. About a minute.
"""

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any

from claims import claim

from loopclinic.lessons.core.call import now
from loopclinic.lessons.schedules.search import Schedule, in_virtual_time
from loopclinic.lessons.sequential_awaits import ladder, story


async def optimized(batch: Sequence[Any], handle: ladder.Handle, *, limit: int = 10) -> None:
    """Do as the team's diff does: gather, and leave out what has no text."""
    del limit
    await asyncio.gather(*(handle(message) for message in batch if message.text))


def exact(way: story.Way, limit: int) -> float:
    """Return the messages per second of a way, in virtual time."""

    async def play(_: Schedule) -> float:
        batch, began = story.webhook(), now()
        seconds = {one: story.LATENCIES[one.id % len(story.LATENCIES)] for one in batch}
        await way(batch, lambda one: asyncio.sleep(seconds[one]), limit=limit)
        return len(batch) / (now() - began)

    return in_virtual_time(play)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    ways = (ladder.one_by_one, ladder.gathered, optimized, ladder.chains)

    claim(
        '"3-10x faster webhooks"',
        "The factor is that of the batch: none if one person wrote all of it. The diff also drops events without a text.",
    )
    print(story.speed_ups(ladder.chains))
    print("A batch of 24 messages, half of them one person's:")
    print(story.race(*ways, rounds=args.rounds))

    print(
        "\nThe same batch with two places, which are enough for the busiest person's requests in a row"
    )
    ways = (ladder.one_by_one, ladder.chains, ladder.whole_chains)
    print(story.race(*ways, rounds=args.rounds, limit=2))

    print("By places, in virtual time, where only the requests take time (messages per second):")
    for way in (ladder.one_by_one, ladder.chains, ladder.whole_chains):
        rates = ", ".join(f"{limit} places {exact(way, limit):.1f}" for limit in (2, 10))
        print(f"  {way.__name__}: {rates}")

    print("\nOne message fails")
    for way in (ladder.gathered, ladder.chains):
        print(asyncio.run(story.process_here(way, failing=6)))


if __name__ == "__main__":
    main()
