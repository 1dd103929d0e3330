"""The lab as shipped, as a whole on a thread, after all has been collected."""

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Saved:
    path: Path
    size: int
    sha256: str


def write(path, whole):
    with path.open("wb") as file:
        file.write(whole)
    return Saved(path, len(whole), hashlib.sha256(whole).hexdigest())


async def save_clip(chunks, folder, name):
    whole = b"".join([chunk async for chunk in chunks])
    return await asyncio.to_thread(write, folder / name, whole)
