"""Descriptors instead of file objects; each step on the default executor, by itself."""

import asyncio
import hashlib
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PIECE = 512 * 1024


@dataclass(frozen=True)
class Saved:
    path: Path
    size: int
    sha256: str


async def hop(work, *args):
    job = asyncio.get_running_loop().run_in_executor(None, work, *args)
    while not job.done():
        try:
            await asyncio.shield(job)
        except asyncio.CancelledError:
            if not job.done():
                await asyncio.wait([job])
            raise
    return job.result()


def write(descriptor, held):
    left = memoryview(held)
    while left:
        left = left[os.write(descriptor, left) :]


async def save_clip(chunks, folder, name):
    made, held, size, digest = [], [], 0, hashlib.sha256()

    def make():
        made[:] = tempfile.mkstemp(dir=folder)

    def discard():
        if made:
            os.close(made[0])
            with suppress(FileNotFoundError):
                os.remove(made[1])

    try:
        await hop(make)
        async for chunk in chunks:
            held.append(chunk)
            digest.update(chunk)
            size += len(chunk)
            if sum(map(len, held)) >= PIECE:
                await hop(write, made[0], b"".join(held))
                held.clear()
        await hop(write, made[0], b"".join(held))
        await hop(os.fdatasync, made[0])
        await hop(os.replace, made[1], folder / name)
    finally:
        await hop(discard)
    return Saved(folder / name, size, digest.hexdigest())
