"""Runs the job as production does: `python -m audit DSN`."""

import asyncio
import sys

from . import open_processor


class Model:
    """Stands for a language model."""

    def __init__(self, name: str, limit: int = 30) -> None:
        self.name = name
        self.limit = limit

    async def ask(self, query: str) -> str:
        """Answer a query, after a while."""
        await asyncio.sleep(0.2)
        return f"{self.name} was asked: {query}"


async def main(dsn: str) -> None:
    """Run what is queued in the database at `dsn`."""
    models = [Model("Aspen"), Model("Birch"), Model("Cedar")]
    async with open_processor(dsn, models) as processor:
        print(await processor.run(), "audits")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
