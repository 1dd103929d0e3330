"""The lab as shipped, line by line with aiofiles."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import aiofiles


@dataclass(frozen=True)
class Saved:
    path: Path
    size: int
    sha256: str


async def save_clip(chunks, folder, name):
    path, size, digest = folder / name, 0, hashlib.sha256()
    async with aiofiles.open(path, "wb") as file:
        async for chunk in chunks:
            await file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return Saved(path, size, digest.hexdigest())
