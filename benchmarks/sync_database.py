"""Measure lesson 02: each rung's share of the bound, its lag, and how soon a hang is reported.

    python benchmarks/sync_database.py [--rounds 5] [--seconds 2] [--hangs 5]

Prints medians and spread of interleaved rounds. About two minutes.
"""

import argparse
import asyncio
import importlib
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from statistics import median
from typing import Any

from claims import claim

from loopclinic.lessons.sync_database import ladder
from loopclinic.lessons.sync_database.ladder import CONNECTIONS, LATENCY
from loopclinic.lessons.sync_database.story import (
    brand_audits,
    cancelled,
    hang,
    losses,
    patient,
    race,
)


async def published(dsn: str, audits: int = 12) -> str:
    """Run the team's fix: `run_in_executor(None, …)` on a psycopg2 pool of one to four connections."""
    if find_spec("psycopg2") is None:
        return "Not measured here: psycopg2 is not installed."
    pool_of = importlib.import_module("psycopg2.pool")
    opened = 0

    class Pool(pool_of.ThreadedConnectionPool):  # type: ignore[name-defined,misc]
        def _connect(self, *given: Any) -> Any:
            nonlocal opened
            opened += 1
            return super()._connect(*given)

    def unit() -> None:
        connection = pool.getconn()
        try:
            with connection.cursor() as cursor:
                cursor.execute("select pg_sleep(%s)", [LATENCY])
        finally:
            pool.putconn(connection)

    async def audit() -> None:
        for _ in range(5):
            await asyncio.get_running_loop().run_in_executor(None, unit)

    pool = Pool(1, 4, dsn)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(6))  # that of two cores
    ended = await asyncio.gather(*(audit() for _ in range(audits)), return_exceptions=True)
    pool.closeall()
    dry = sum(isinstance(one, pool_of.PoolError) for one in ended)
    return f"{dry} of {audits} audits end in PoolError; {opened} connections were opened for a pool of 4."


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--hangs", type=int, default=5)
    args = parser.parse_args()
    dsn = await brand_audits()

    print(f"\n{CONNECTIONS} connections, queries of {LATENCY * 1000:.0f} ms, {args.rounds} rounds")
    found = await asyncio.to_thread(
        race, *ladder.RUNGS, dsn=dsn, rounds=args.rounds, seconds=args.seconds
    )
    print(found)
    native = found["native"]
    share, lag = native.typical("share"), native.typical("lag")
    verdicts = {True: "as promised", False: "NOT as promised"}
    print(f"native: at least 70 % of the bound: {share:.0%}, {verdicts[share >= 0.7]}")
    print(f"native: p99 lag at most 20 ms: {lag * 1000:.1f} ms, {verdicts[lag <= 0.02]}")

    print("\nWhere the rest goes")
    print(await losses(dsn))

    claim(
        '"blocking is silent"',
        "In the log, and for PostgreSQL, which sees a third of the cycle. The probe names the line while it hangs.",
    )
    for title, companies in (("A dry pool", [1, 2, 3]), ("A locked row", [4, 4])):
        seen = []
        for _ in range(args.hangs):
            one = await hang(patient, dsn, companies, connections=2, title=title, patience=1.0)
            assert one.stall is not None, one
            assert one.stall.first_seen is not None, one
            seen.append(one.stall.first_seen)
        print(one)
        print(
            f"{title}: named after {median(seen) * 1000:.0f} ms (at most {max(seen) * 1000:.0f} ms, "
            f"{len(seen)} hangs), within 100 ms: {verdicts[max(seen) <= 0.1]}"
        )

    claim(
        "A thread for each call, over a pool of psycopg2, as the team published it",
        "That pool never waits: dry, it raises PoolError, and it closes every connection above its least number.",
    )
    print(await published(dsn))

    print("\nCancelled in the middle of a query")
    print(await cancelled(dsn, *ladder.RUNGS))


if __name__ == "__main__":
    asyncio.run(main())
