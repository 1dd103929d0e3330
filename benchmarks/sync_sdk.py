"""The figures of lesson 06: what each way to call a synchronous SDK gives, and what others wait meanwhile.

    python benchmarks/sync_sdk.py [--rounds 5]

Uploads per second against the bound, a name lookup beside uploads, callers who give up. About three minutes.
"""

import argparse
import asyncio

from loopclinic.lessons.sync_sdk import ladder, story


async def beside() -> None:
    print("\n18 uploads at once, half a second each, and a name lookup right after them")
    ways = (ladder.in_thread, ladder.none_passed, ladder.own_threads, ladder.async_client)
    print(await story.uploads(*ways))

    print("\nClaim: 'non-blocking storage operations', by to_thread")
    print(await story.at_once(ladder.in_thread, (1, 5, 6, 12, 24, 48)))

    print("\n`def` endpoints of FastAPI, and a health check beside them")
    print(await story.endpoints(ladder.def_endpoint))

    print("\nCallers give up")
    print(await story.giving_up())


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

    print("\nClaim: 'multiple concurrent requests', by four threads: 100 callers, and 20")
    for callers in (100, 20):
        print(story.race(ladder.own_threads, size=4, callers=callers, rounds=args.rounds))

    print("\nClaim: 'thread-safe concurrent access', by an asyncio.Lock: two threads, a loop each")
    print(asyncio.run(story.two_loops()))

    print("\nA process dies between making its bucket and setting its policy")
    print(asyncio.run(story.half_made()))


if __name__ == "__main__":
    main()
