"""The figures of lesson 08: the GIL's share, how late the loop is, and how near the bound each rung comes.

    python benchmarks/cpu_bound.py [--rounds 5]

Prints medians and spread of interleaved rounds. About a minute.
"""

import argparse
import asyncio

from claims import claim

from loopclinic.lessons.cpu_bound import ladder, story


async def shares() -> None:
    print(
        await story.gil_shares(
            (ladder.hashed, story.PASSWORD),
            (ladder.strength, story.PASSWORD),
            (ladder.matches_letters, 22),
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    print(f"\nWho has the GIL ({ladder.CORES} cores)")
    asyncio.run(shares())

    claim(
        '"No blocking during password operations"',
        "True for bcrypt in threads, until the cores are full. 40 logins at once:",
    )
    ways = (ladder.on_loop, ladder.to_threads, ladder.processes)
    print(story.race(*ways, rounds=args.rounds, sign_ups=0))

    claim(
        '"CPU-intensive tasks run in the thread pool"',
        "No cure for pure Python, which keeps the GIL. 20 sign-ups at once:",
    )
    ways = (ladder.on_loop, ladder.to_threads, ladder.sliced, ladder.processes, *ladder.HERE)
    print(story.race(*ways, rounds=args.rounds, logins=0, sign_ups=20))

    print("\nBoth: 40 logins and 10 sign-ups")
    ways = (*ways[:3], ladder.processes, ladder.by_gil, *ladder.HERE)
    print(story.race(*ways, rounds=args.rounds))


if __name__ == "__main__":
    main()
