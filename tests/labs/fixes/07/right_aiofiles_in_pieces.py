"""aiofiles, by half a megabyte; each of its hops is waited for."""

import asyncio
import hashlib
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiofiles
import aiofiles.os

PIECE = 512 * 1024


@dataclass(frozen=True)
class Saved:
    path: Path
    size: int
    sha256: str


async def whole(operation):
    job = asyncio.ensure_future(operation)
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait([job])
        raise


async def save_clip(chunks, folder, name):
    temp, file = folder / f".{uuid.uuid4().hex}", None
    held, size, digest = bytearray(), 0, hashlib.sha256()

    async def make():
        nonlocal file
        file = await aiofiles.open(temp, "wb")

    async def write():
        await file.write(held)
        digest.update(held)
        held.clear()

    async def discard():
        if file is not None:
            with suppress(OSError):
                await file.close()
            with suppress(FileNotFoundError):
                await aiofiles.os.remove(temp)

    try:
        await whole(make())
        async for chunk in chunks:
            held += chunk
            size += len(chunk)
            if len(held) >= PIECE:
                await whole(write())
        await whole(write())
        await whole(file.flush())
        await whole(asyncio.to_thread(os.fsync, file.fileno()))
        await whole(file.close())
        await whole(aiofiles.os.replace(temp, folder / name))
    except BaseException:
        await whole(discard())
        raise
    return Saved(folder / name, size, digest.hexdigest())
