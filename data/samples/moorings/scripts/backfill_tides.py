"""Fills the cache with the tides of a year, so that the season starts fast."""

import argparse
import asyncio
import sys
from datetime import date, timedelta

from moorings.adapters.tides import tides_async
from moorings.services.availability import PORT


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("year", type=int)
    parser.add_argument("--port", default=PORT)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    return parser.parse_args(argv)


async def main(argv: list[str]) -> int:
    args = parse_args(argv)
    if not args.yes and input(f"Fetch {args.year} for {args.port}? [y/N] ") != "y":
        return 1
    days = [date(args.year, 1, 1) + timedelta(days=one) for one in range(365)]
    found = await asyncio.gather(*(tides_async(args.port, day) for day in days))
    print(f"{sum(map(len, found))} tides")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
