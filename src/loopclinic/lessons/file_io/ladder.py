"""The save of lesson 07 in four versions ("rungs"): each stores a clip under a name, and syncs it."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import aiofiles

PIECE = 512 * 1024


async def blocking(chunks: AsyncIterator[bytes], folder: Path, name: str) -> None:
    """Write and sync on the loop."""
    with (folder / name).open("wb") as file:
        async for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


async def hop_a_chunk(chunks: AsyncIterator[bytes], folder: Path, name: str) -> None:
    """Change to a thread for each call, as aiofiles does."""
    async with aiofiles.open(folder / name, "wb") as file:
        async for chunk in chunks:
            await file.write(chunk)
        await file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())


async def hop_a_file(chunks: AsyncIterator[bytes], folder: Path, name: str) -> None:
    """Collect the whole clip, then write it on a thread."""
    whole = b"".join([chunk async for chunk in chunks])
    await asyncio.to_thread(append, folder / name, whole, sync=True)


async def pieces(chunks: AsyncIterator[bytes], folder: Path, name: str) -> None:
    """Write half a megabyte at a time on a thread, and give the name at the end."""
    temporary, held = folder / f".{uuid.uuid4().hex}", bytearray()
    try:
        async for chunk in chunks:
            held += chunk
            if len(held) >= PIECE:
                await hop(append, temporary, held)
                held.clear()
        await hop(partial(append, sync=True), temporary, held)
        await hop(os.replace, temporary, folder / name)
    except BaseException:
        await hop(partial(temporary.unlink, missing_ok=True))
        raise


def append(path: Path, held: bytes | bytearray, *, sync: bool = False) -> None:
    """Append to a file; blocks."""
    with path.open("ab") as file:
        file.write(held)
        file.flush()
        if sync:
            os.fsync(file.fileno())


async def hop(work: Callable[..., object], *args: object) -> None:
    """Do blocking work on a thread, and end when it has ended."""
    job = asyncio.ensure_future(asyncio.to_thread(work, *args))
    try:
        await asyncio.shield(job)
    except asyncio.CancelledError:  # which ends the await, and not the thread
        await asyncio.wait([job])
        raise


COSTS = {
    "blocking": "The loop's own time, and all others'.",
    "hop_a_chunk": "A change of threads for each chunk; a cancelled one goes on.",
    "hop_a_file": "Memory for every clip that is on its way.",
    "pieces": "A temporary name, and a wait for the thread when cancelled.",
}
