"""The figures of lesson 11: what holds a task, what a restart does to jobs, what create_task promises.

    python benchmarks/task_lifetimes.py [--rounds 3] [--customers 60] [--patience 4]

Prints medians and spread of interleaved rounds. About four minutes.
"""

import argparse
import asyncio

from claims import claim

from loopclinic.lessons.task_lifetimes import ladder, story


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--customers", type=int, default=60)
    parser.add_argument("--patience", type=float, default=4.0)
    args = parser.parse_args()

    print("\nTasks that nobody keeps, after one run of the garbage collector")
    print(asyncio.run(story.who_holds(200)))

    claim(
        '"Proper task creation"',
        "The framework's own `create_task` keeps two of five expectations.",
    )
    print(asyncio.run(story.promises(args.patience)))

    print("\nTwo taps on one button, by how updates are processed")
    print(asyncio.run(story.two_taps(False, True, story.PerUser(), customers=50)))

    ways = (ladder.forgotten, ladder.kept, ladder.let_go, ladder.frameworks, ladder.supervised)
    print(f"\nA bot is restarted; {args.rounds} interleaved rounds")
    options = {"customers": args.customers, "patience": args.patience, "rounds": args.rounds}
    print(story.race(*ways, **options))


if __name__ == "__main__":
    main()
