"""Measure lesson 03: the bridge against a loop for each request, and what a deploy loses.

    python benchmarks/flask_bridge.py [--rounds 5] [--seconds 2] [--restarts 50]

Prints medians and spread of interleaved rounds, then the updates lost over so many restarts under
load, each of them counted in PostgreSQL. About four minutes.
"""

import argparse
import asyncio
from statistics import median

from claims import claim

from loopclinic.lessons.flask_bridge import ladder
from loopclinic.lessons.flask_bridge.story import Deploy, deliveries, deploy, race, standstill

WAYS = (ladder.LoopPerRequest, ladder.AsyncView, ladder.Bridge, ladder.DrainedBridge, ladder.Native)
PACED = (ladder.LoopPerRequest, ladder.DrainedBridge)
_LOAD = 0.7
"""Of what the slower one can do."""
VERDICTS = {True: "as promised", False: "NOT as promised"}


def total(name: str, runs: list[Deploy]) -> str:
    """Say what became of the webhooks of these restarts."""
    sent, promised, lost, put_off, failed = (
        sum(getattr(run, what) for run in runs)
        for what in ("sent", "promised", "lost", "put_off", "failed")
    )
    return (
        f"{name}: {len(runs)} restarts, {sent} webhooks, {promised} answered 204, {lost} of these lost, "
        f"{put_off} put off, {failed} failed; at most {max(run.threads for run in runs)} threads and "
        f"{max(run.connections for run in runs)} connections"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--restarts", type=int, default=50)
    args = parser.parse_args()
    dsn = await deliveries()

    print(f"\nEight threads, {args.rounds} rounds")
    given = {"dsn": dsn, "rounds": args.rounds, "seconds": args.seconds}
    found = await asyncio.to_thread(race, *WAYS, **given)
    print(found)
    rates = found.times("rate", "DrainedBridge", "LoopPerRequest")
    tails = found.times("p99", "DrainedBridge", "LoopPerRequest")
    # A queue of eight is as long as eight are slow: at full load, p99 says little beyond the rate.
    rate = _LOAD * found["LoopPerRequest"].typical("rate")
    print(f"\n{_LOAD:.0%} of what a loop for each request can do, on a schedule, for both")
    paced = await asyncio.to_thread(race, *PACED, **given, rate=rate)
    print(paced)
    in_time = paced.times("p99", "DrainedBridge", "LoopPerRequest")
    bridge = found["DrainedBridge"]
    constant = bridge.spread("threads")[1] <= 1 and bridge.spread("connections")[1] <= ladder.SIZE
    print(
        f"bridge: at least twice the webhooks a second in every round: {min(rates):.1f} times, "
        f"{VERDICTS[min(rates) >= 2]}"
    )
    for load, shares in (("at full load", tails), (f"at {rate:.0f} a second", in_time)):
        print(
            f"bridge: p99 at most half, {load}, the median round: {median(shares):.0%} "
            f"({min(shares):.0%} to {max(shares):.0%}), {VERDICTS[median(shares) <= 0.5]}"
        )
    print(f"bridge: threads and connections constant: {VERDICTS[constant]}")

    print("\nThe database stands still")
    print(await standstill(ladder.Bridge, ladder.DrainedBridge, dsn=dsn))

    claim(
        '"thread-safe webhook handlers", by a daemon thread with a loop for each request',
        "Refuted: what is under way when the process ends was acknowledged, and is lost.",
    )
    lost: dict[str, list[Deploy]] = {"DaemonThreads": [], "DrainedBridge": []}
    for number in range(args.restarts):
        for way in (ladder.DaemonThreads, ladder.DrainedBridge):
            run = await deploy(way, dsn, seconds=0.5, seed=number)
            lost[way.__name__].append(run)
    print(f"{args.restarts} restarts under load, of either")
    for name, runs in lost.items():
        print(total(name, runs))
    none = not any(run.lost for run in lost["DrainedBridge"])
    print(f"bridge: nothing lost over {args.restarts} restarts: {VERDICTS[none]}")


if __name__ == "__main__":
    asyncio.run(main())
