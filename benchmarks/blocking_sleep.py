"""Measure lesson 01: a retry that blocks, and each rung up to the fixed one, under one load.

    python benchmarks/blocking_sleep.py [--rounds 5] [--rate 30] [--seconds 4]

Each rung is served by a process of its own; rounds are interleaved. Prints medians and spread. About
two minutes.
"""

import argparse

from claims import claim
from rich.console import Console

from loopclinic.lessons.blocking_sleep import ladder
from loopclinic.load.interleave import compare
from loopclinic.load.request_schedule import Load
from loopclinic.servers import FaultyUpstream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=float, default=30)
    parser.add_argument("--seconds", type=float, default=4)
    args = parser.parse_args()
    load = Load(rate=args.rate, seconds=args.seconds, payloads=ladder.PAYLOADS, seed=1)
    with FaultyUpstream(**ladder.DIALS) as upstream:
        found = compare(
            *(ladder.served(rung, upstream.url) for rung in ladder.RUNGS),
            load=load,
            rounds=args.rounds,
        )
    console = Console(width=160)
    console.print(found.table())
    claim(
        "Awaiting the sleep cures the retry",
        "It does for those who never retry. Those who do still return together, without jitter, and for as long as "
        "they like, without a deadline.",
    )
    for group in ("healthy", "flaky"):
        console.print(f"{group} callers; alone one takes {ladder.own_time(group) * 1000:.0f} ms")
        for name in found.variants:
            figures = found.values("p99", name, group=group)
            low, high = min(figures), max(figures)
            middle = found.median("p99", name, group=group)
            console.print(
                f"  {name:12} p99 {middle * 1000:6.0f} ms ({low * 1000:.0f} to {high * 1000:.0f})"
            )


if __name__ == "__main__":
    main()
