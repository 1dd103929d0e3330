"""Applies the SQL files of a folder, once each."""

import asyncio
import sys
from pathlib import Path

import asyncpg

from ..config import get_settings

TABLE = "create table if not exists migration (name text primary key, at timestamptz default now())"


def pending(folder: Path, done: set[str]) -> list[Path]:
    return sorted(file for file in folder.glob("*.sql") if file.name not in done)


async def apply(folder: Path) -> int:
    connection = await asyncpg.connect(get_settings().database_url)
    try:
        await connection.execute(TABLE)
        done = {row["name"] for row in await connection.fetch("select name from migration")}
        files = pending(folder, done)
        for file in files:
            async with connection.transaction():
                await connection.execute(file.read_text())
                await connection.execute("insert into migration (name) values ($1)", file.name)
            print(f"applied {file.name}")
        return len(files)
    finally:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(apply(Path(sys.argv[1])))
