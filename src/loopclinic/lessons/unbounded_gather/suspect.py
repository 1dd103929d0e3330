"""A publisher that starts everything at once, for tools to look at, in debug mode.

Run as `python -X dev -m loopclinic.lessons.unbounded_gather.suspect URL`. Prints one JSON line: what
gather would have returned if anybody had looked, and what debug mode said.
"""

import asyncio
import json
import logging
import sys
from collections import Counter

import aiohttp

from loopclinic.lessons.unbounded_gather.ladder import publish_one
from loopclinic.lessons.unbounded_gather.posts import due

POSTS = 300


class _Said(logging.Handler):
    """Keeps what asyncio logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


async def main(url: str) -> None:
    """Publish a few hundred posts at once and count what came of it."""
    said = _Said()
    logging.getLogger("asyncio").addHandler(said)
    async with aiohttp.ClientSession(url) as session:
        jobs = [publish_one(session, post) async for post in due(POSTS)]
        results = await asyncio.gather(*jobs, return_exceptions=True)
    kinds = Counter("None" if one is None else _kind(one) for one in results)
    print(json.dumps({"results": kinds.most_common(), "said": said.lines}))


def _kind(error: BaseException) -> str:
    status = getattr(error, "status", None)
    return type(error).__name__ + (f" {status}" if status else "")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
