"""The figures of lesson 10: a pool that runs dry, guards and libraries, outages and how they end.

    python benchmarks/failing_upstreams.py [--rounds 5]

Prints medians and spread over so many rounds or seeds. About a minute.
"""

import argparse
import asyncio
import contextlib
from statistics import median
from typing import Any

import stamina
import stamina.instrumentation
from claims import claim

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


async def any_error(fetch: Any, last: float) -> Any:
    """Fall back to the last price known on any exception."""
    try:
        return await fetch()
    except Exception:
        return last


async def late_is_none(fetch: Any, last: float) -> Any:
    """Return None for an answer that comes too late."""
    del last
    with contextlib.suppress(TimeoutError):
        return await fetch()


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

    claim(
        'A health check by python -c "asyncio.run(...)"',
        "It starts a process and asks with a client of its own, and is content while the service hangs.",
    )
    for _ in range(args.rounds):
        shop = asyncio.run(story.open_shop(price_page, stock_page))
        print(
            f"A page that needs no price waits {shop.slowest:.2f} s. The health check: {shop.health}"
        )
    print(asyncio.run(story.health_checks()))

    print("\nA breaker made for threads")
    print(asyncio.run(story.guards(around_sdk, around_coroutine, in_threads)))

    print("\nBreakers of libraries")
    print(asyncio.run(story.libraries()))
    print(f"stamina: {asyncio.run(attempts()):g} attempts a call that always fails")

    claim(
        '"services degrade gracefully", by a fallback for every exception',
        "Also from one's own typo, which nobody hears of.",
    )
    print(asyncio.run(story.fallbacks(any_error)))

    claim(
        "A timeout that returns None",
        "A fallback that does not say so: its caller can't tell it from an answer.",
    )
    print(asyncio.run(story.fallbacks(late_is_none, ladder.marked)))

    claim(
        '"automatic recovery", by three attempts with a timeout each',
        "They keep a service sick that would be well.",
    )
    for way in (ladder.retried, ladder.limited, ladder.crowding, ladder.guarded):
        found = [story.outage(way, seed) for seed in range(args.rounds)]
        borne = sorted(one.borne for one in found)
        after = sorted(one.recovered for one in found)
        print(
            f"{way.__name__}: {median(borne):,.0f} calls while it was sick ({borne[0]:,} to {borne[-1]:,}), "
            f"prices again after {median(after):.0f} s ({after[0]:.0f} to {after[-1]:.0f}; inf: never)"
        )

    print("\nA quota of calls a second")
    print(story.quotas(ladder.places, ladder.burst, ladder.paced))


if __name__ == "__main__":
    main()
