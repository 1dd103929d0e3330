"""The figures of lesson 06: what each way to call a synchronous SDK gives, and what others wait meanwhile.

    python benchmarks/sync_sdk.py [--rounds 5]

Uploads per second against the bound, a name lookup beside uploads, callers who give up. About three minutes.
"""

import argparse
import asyncio
import time
from typing import Any

import httpx
from claims import claim

from loopclinic.lessons.sync_sdk import ladder, story
from loopclinic.units import span


async def beside() -> None:
    print("\n18 uploads at once, half a second each, and a name lookup right after them")
    ways = (ladder.in_thread, ladder.none_passed, ladder.own_threads, ladder.async_client)
    print(await story.uploads(*ways))

    claim(
        '"Non-blocking storage operations", by to_thread',
        "True up to as many at once as the default executor has threads; then name lookups wait, too.",
    )
    print(await story.at_once(ladder.in_thread, (1, 5, 6, 12, 24, 48)))

    print("\n`def` endpoints of FastAPI, and a health check beside them; then `async def` ones")
    others = ladder.on_the_loop, ladder.async_client
    print(await story.endpoints(ladder.def_endpoint, *others))

    print("\nCallers give up")
    print(await story.giving_up())


async def started(*, lazy: bool, callers: int = 20) -> str:
    """Start a service whose client and bucket are made first, or by its first callers under a lock."""
    lock, made, began = asyncio.Lock(), False, time.perf_counter()

    async def ready(s3: story.Service) -> None:
        nonlocal made
        async with lock:
            if not made:
                await s3.run(s3.client.make_bucket, s3.bucket)
                made = True

    async def call(s3: story.Service) -> float:
        came = time.perf_counter()
        await ready(s3)
        return time.perf_counter() - came

    async with story.opened(make=False) as s3:
        began = time.perf_counter()
        if not lazy:
            await ready(s3)
        listens = time.perf_counter() - began
        waited = await asyncio.gather(*(call(s3) for _ in range(callers)))
    return f"{'lazy' if lazy else 'eager'}: listens after {span(listens)}; each of {callers} callers then waits {span(max(waited))}"


async def client_a_call(_: Any, ask: story.Ask) -> None:
    """Make a client for each call."""
    async with httpx.AsyncClient() as client:
        await ask(client)


async def one_client(kept: httpx.AsyncClient, ask: story.Ask) -> None:
    """Use one client for all calls."""
    await ask(kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    asyncio.run(beside())
    ways = (ladder.on_the_loop, ladder.in_thread, ladder.own_threads, ladder.async_client)
    found = story.race(*ways, rounds=args.rounds, seconds=2.0)
    print(f"\nA closed loop, {args.rounds} interleaved rounds")
    print(found)
    share = found["own_threads"].typical("rate") / (found.given["size"] / found.given["latency"])
    print(f"Own threads reach {share:.0%} of the bound.")

    claim(
        'The SDKs have "no native async support"',
        "Look before you bridge: groq, elevenlabs and together have AsyncGroq, AsyncElevenLabs and AsyncTogether. The "
        "async client does as many uploads as a thread for each place, without the threads.",
    )
    print(story.async_twins("groq.Groq", "elevenlabs.ElevenLabs", "together.Together"))
    rates = (f"{way} {found[way].typical('rate'):.0f}" for way in ("own_threads", "async_client"))
    print(f"Uploads a second: {', '.join(rates)}")

    print("\nAn async client for each call, and one for all")
    print(asyncio.run(story.clients(client_a_call, one_client)))

    claim(
        '"multiple concurrent requests", by four threads',
        "At most four divided by the latency, each second. 100 callers, and 20:",
    )
    for callers in (100, 20):
        print(story.race(ladder.own_threads, size=4, callers=callers, rounds=args.rounds))

    claim(
        '"thread-safe concurrent access", by an asyncio.Lock',
        "Refuted: the lock belongs to one loop, and a thread with another one gets RuntimeError.",
    )
    print(asyncio.run(story.two_loops()))

    claim(
        '"lazy initialisation reduces start-up time"',
        "It moves it to the first callers, all of whom wait for it.",
    )
    asyncio.run(started(lazy=True))  # starts the server that all share
    for lazy in (False, True):
        print(asyncio.run(started(lazy=lazy)))

    print("\nA process dies between making its bucket and setting its policy")
    print(asyncio.run(story.half_made()))


if __name__ == "__main__":
    main()
