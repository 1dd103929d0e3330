"""The figures of lesson 12: what tasks of a Celery worker open, by the way in which they run async code.

    python benchmarks/loop_boundaries.py [--tasks 1000] [--rounds 3]

Counts by PostgreSQL of interleaved rounds, patches of asyncio, calls on a running loop. About three minutes.
"""

import argparse
import asyncio

from claims import claim

from loopclinic.lessons.loop_boundaries import ladder, story


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    print("\nPatches of asyncio, each in a process of its own")
    print(asyncio.run(story.patches()))

    print("\nCalled where a loop runs")
    ways = (
        asyncio.run,
        story.threadsafe_result,
        story.in_a_thread,
        story.of_asgiref,
        story.adapter,
    )
    print(asyncio.run(story.on_a_loop(*ways)))

    claim(
        'One asyncio.run a task is an "acceptable pattern"',
        "Without a database; with one, each task opens a connection, in a worker that forks, too.",
    )
    ways = (ladder.run_each, ladder.one_loop)
    print(asyncio.run(story.worked(*ways, tasks=args.tasks, database=False)))
    print("The same tasks at PostgreSQL, in a worker that forks: four processes")
    names = "run_each", "runner_each_thread", "one_loop", "before_the_fork"
    print(asyncio.run(story.preforked(*names, tasks=100)))

    claim(
        '"Celery has no native async tasks"',
        "An `async def` ends in SUCCESS, and was never awaited. A renewal with retries may charge four times.",
    )
    print(story.charges())

    print(f"\n{args.tasks:,} tasks at PostgreSQL, {args.rounds} interleaved rounds")
    ways = (ladder.run_each, ladder.runner_each_thread, ladder.one_loop)
    found = story.race(*ways, tasks=args.tasks, rounds=args.rounds)
    print(found)
    one = found["one_loop"]
    loops, opened = one.spread("loops")[1], one.spread("opened")[1]
    print(f"One loop: at most {loops:.0f} loop and {opened:.0f} of {ladder.SIZE} connections.")


if __name__ == "__main__":
    main()
