"""The figures of lesson 10: a pool that runs dry, guards and libraries, outages and how they end.

    python benchmarks/failing_upstreams.py [--rounds 5]

Prints medians and spread over so many rounds or seeds. About a minute.
"""

import argparse
import asyncio
from statistics import median
from typing import Any

import stamina
import stamina.instrumentation

from loopclinic.lessons.failing_upstreams import ladder, story


async def price_page(session: Any) -> None:
    """Ask for a price."""
    async with session.post("/price", data=b"price of tea") as answer:
        await answer.read()


async def stock_page(session: Any) -> None:
    """Ask for stock."""
    async with session.post("/stock", data=b"stock of tea") as answer:
        await answer.read()


async def around_sdk(breaker: Any, sdk: Any, fetch: Any) -> None:
    """Guard a synchronous SDK on the loop."""
    del fetch
    breaker.call(sdk)


async def around_coroutine(breaker: Any, sdk: Any, fetch: Any) -> None:
    """Guard a coroutine function by a breaker made for threads."""
    del sdk
    await breaker.call(fetch)


async def in_threads(breaker: Any, sdk: Any, fetch: Any) -> None:
    """Guard a synchronous SDK on threads."""
    del fetch
    await asyncio.to_thread(breaker.call, sdk)


async def attempts(calls: int = 20) -> float:
    """Return how many attempts stamina makes for a call that always fails, as it comes but for the pauses."""
    stamina.instrumentation.set_on_retry_hooks([])  # else it prints a line for each
    made = 0

    @stamina.retry(on=ConnectionError, wait_initial=0, wait_jitter=0, wait_max=0)
    async def call() -> None:
        nonlocal made
        made += 1
        raise ConnectionRefusedError

    await asyncio.gather(*(call() for _ in range(calls)), return_exceptions=True)
    return made / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    print("\nPages that need no price, while the price service is slow: slowest of each run")
    for _ in range(args.rounds):
        shop = asyncio.run(story.open_shop(price_page, stock_page))
        print(f"  {shop.slowest:.2f} s; a health check: {shop.health}")

    print("\nA breaker made for threads")
    print(asyncio.run(story.guards(around_sdk, around_coroutine, in_threads)))

    print("\nBreakers of libraries")
    print(asyncio.run(story.libraries()))
    print(f"stamina: {asyncio.run(attempts()):g} attempts a call that always fails")

    print("\nClaims: 'services degrade gracefully', 'automatic recovery'")
    for way in (ladder.retried, ladder.limited, ladder.crowding, ladder.guarded):
        found = [story.outage(way, seed) for seed in range(args.rounds)]
        borne = sorted(one.borne for one in found)
        after = sorted(one.recovered for one in found)
        print(
            f"  {way.__name__}: {median(borne):,.0f} calls while it was sick ({borne[0]:,} to {borne[-1]:,}), "
            f"prices again after {median(after):.0f} s ({after[0]:.0f} to {after[-1]:.0f})"
        )

    print("\nA quota of calls a second")
    print(story.quotas(ladder.places, ladder.burst, ladder.paced))


if __name__ == "__main__":
    main()
