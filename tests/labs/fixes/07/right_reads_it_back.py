"""pathlib only; the digest is that of the file, read back on the thread that finishes."""

import asyncio
import hashlib
import os
import uuid
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Saved:
    path: Path
    size: int
    sha256: str


def append(path, data):
    with path.open("ab") as file:
        file.write(data)


def finish(part, path, data):
    with part.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file)
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = part.stat().st_size
    part.rename(path)
    return Saved(path, size, digest)


async def hop(function, *given):
    job = asyncio.ensure_future(asyncio.to_thread(function, *given))
    try:
        return await asyncio.shield(job)
    finally:
        if not job.done():
            await asyncio.wait([job])


async def save_clip(chunks, folder, name):
    path = folder / name
    part, held = folder / f"{uuid.uuid4()}.part", b""
    try:
        async for chunk in chunks:
            held += chunk
            if len(held) >= 2**19:
                await hop(append, part, held)
                held = b""
        return await hop(finish, part, path, held)
    except BaseException:
        await hop(lambda: part.unlink(missing_ok=True))
        raise
