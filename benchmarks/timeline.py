"""Measure what a timeline costs: CPU time of the same tasks with and without one.

    python benchmarks/timeline.py [--rounds 9] [--steps 40000]

Rounds are interleaved in one process; medians, and the least and the most, are printed. `turns` is the worst
case, tasks that do nothing but let one another run; `timers` is a sleep each; `requests` compute for a fifth of a
millisecond between two sleeps, as a handler does.
"""

import argparse
import asyncio
from collections.abc import Callable, Coroutine
from statistics import median
from time import perf_counter, process_time

from rich.console import Console
from rich.table import Table

from loopclinic import Timeline
from loopclinic.units import duration

TASKS = 100


async def turns(steps: int) -> None:
    for _ in range(steps):
        await asyncio.sleep(0)


async def timers(steps: int) -> None:
    for _ in range(steps // 4):
        await asyncio.sleep(1e-6)


async def requests(steps: int) -> None:
    for _ in range(steps // 40):
        end = perf_counter() + 0.0002
        while perf_counter() < end:
            pass
        await asyncio.sleep(1e-6)


WORKS = {"turns": (turns, 1), "timers": (timers, 4), "requests": (requests, 40)}


def spent(work: Callable[[int], Coroutine[None, None, None]], steps: int, *, timed: bool) -> float:
    """Return the seconds of a processor that the work takes."""

    async def main() -> float:
        timeline = Timeline(live=False).start() if timed else None
        began = process_time()
        await asyncio.gather(*(work(steps // TASKS) for _ in range(TASKS)))
        found = process_time() - began
        if timeline is not None:
            timeline.stop()
        return found

    return asyncio.run(main())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    turns = "of `turns`; the others have fewer"
    parser.add_argument("--steps", type=int, default=40_000, help=turns)
    args = parser.parse_args()
    heads = ("work", "steps", "without", "with", "ratio", "least to most", "a step more")
    table = Table(*heads, title="What loopclinic.Timeline costs")
    for name, (work, fewer) in WORKS.items():
        steps = args.steps // fewer
        pairs = [
            (spent(work, args.steps, timed=False), spent(work, args.steps, timed=True))
            for _ in range(args.rounds)
        ]
        ratios = [timed / plain for plain, timed in pairs]
        plain, timed = (median(column) for column in zip(*pairs, strict=True))
        table.add_row(
            name,
            f"{steps:,}",
            duration(plain),
            duration(timed),
            f"{median(ratios):.2f}",
            f"{min(ratios):.2f} to {max(ratios):.2f}",
            f"{(timed - plain) / steps * 1e6:.1f} µs",
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
