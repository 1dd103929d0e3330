"""The figures of lesson 14: a job that hangs, a cancel, and three finished designs at their bound.

    python benchmarks/audit_capstone.py [--rounds 5] [--audits 300]

Interleaved rounds, each design in a process of its own. About a minute.
"""

import argparse
import asyncio

from loopclinic.lessons.audit_capstone import LESSON, ladder, story


async def hang(dsn: str) -> None:
    """Start the job as it ships, and print what is seen of it when nothing happens any more."""
    job = await story.start_job(dsn)
    try:
        print(await job.idle())
    finally:
        job.kill()


async def questions() -> str:
    """Print what needs no rounds, and return the address of the database."""
    dsn = await story.database()
    print("\nThe job as it ships")
    await hang(dsn)
    print("\nWhat the scanner finds in its ten functions")
    assert LESSON.shipped is not None
    print(await story.functions(LESSON.shipped / "audit"))
    print("\nAn audit that is cancelled while it stores")
    print(await story.cancelled(dsn, *ladder.DESIGNS))
    return dsn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--audits", type=int, default=300)
    args = parser.parse_args()

    dsn = asyncio.run(questions())
    print(f"\nClaim: the thread pool is the correct solution; {args.audits} audits, 30 at once")
    print(story.race(*ladder.DESIGNS, dsn=dsn, rounds=args.rounds, audits=args.audits))


if __name__ == "__main__":
    main()
